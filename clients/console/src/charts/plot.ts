/** The marks that the charts need, loaded when the first chart is drawn. */
export { areaY, barX, barY, dot, lineY, plot, ruleX, ruleY, text } from "@observablehq/plot";
