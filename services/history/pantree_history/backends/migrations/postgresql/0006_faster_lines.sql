-- Both at once, in the order in which calls lock them; the statements below would begin with the lines.
LOCK TABLE household, purchase_line IN ACCESS EXCLUSIVE MODE;

-- Compared with the setting as a whole, once read, rows of a household are found by its key alone; before, the planner
-- could also read all of the tenant's index. Without a setting, it is NULL or empty, and no row is visible.
ALTER POLICY of_tenant ON purchase_line
  USING ('=' || tenant_id = (SELECT current_setting('pantree.tenant', true)));

-- Looked up for each line, it was half of the work of an import. A call that adds or moves lines has locked their household.
ALTER TABLE purchase_line DROP CONSTRAINT purchase_line_household_key_fkey;
