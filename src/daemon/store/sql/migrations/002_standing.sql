-- Every item by where it stands, not only those that wait: grids and totals are counted from it, without a look at the
-- items. The items at a step that are not of its line were given there, and no step takes them.
DROP INDEX item_pending;
CREATE INDEX item_standing ON item (job, step, state, line, id);
