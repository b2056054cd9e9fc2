/** What the views share: shoppers, catalog and limits of this gateway, each fetched once. */
import { signal } from "@preact/signals";
import type { Archetypes, CatalogItem, GetConfigResponse } from "pantree-client";
import { asksForKey, client } from "../api.js";

export const archetypes = signal<Archetypes | null>(null);
export const catalog = signal<readonly CatalogItem[]>([]);
export const config = signal<GetConfigResponse | null>(null);
export const sessionError = signal<unknown>(null);

let isLoading = false;

export async function loadSession(): Promise<void> {
  if (archetypes.value || isLoading) return;
  isLoading = true;
  sessionError.value = null;
  try {
    const pantree = client();
    const [shoppers, limits, items] = await Promise.all([pantree.archetypes(), pantree.config(), pantree.catalogItems()]);
    catalog.value = items;
    config.value = limits;
    archetypes.value = shoppers;
  } catch (error) {
    if (!asksForKey(error)) sessionError.value = error;
  } finally {
    isLoading = false;
  }
}
