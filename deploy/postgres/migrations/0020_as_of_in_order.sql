-- What a node had said last is the last entry of its stream's index before a moment. A plan made for
-- any moment expects a handful of rows and sorts them, and then reads all that the node ever said.
alter function rm.node_report_at(bigint, timestamptz, text) set enable_sort = off;
alter function rm.node_report_at(bigint, timestamptz, text) set enable_bitmapscan = off;
