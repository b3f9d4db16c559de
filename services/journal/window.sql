-- name: partitions
-- The days of telemetry that are there, oldest first.
select partition, day, bytes from log.partitions order by day;

-- name: measure
-- What a partition holds.
select count(*) as events, min(position) as first, max(position) as last,
       (select p.hash from log.{partition} p order by p.position desc limit 1) as last_hash
  from log.{partition};

-- name: drop
-- Drop a partition, and seal it with the fact at this position.
select log.drop_partition($1, $2, $3, $4, $5, $6);

-- name: end_if_left_alone
-- Do not hold the append's lock for long where this process stops in between.
set local idle_in_transaction_session_timeout = '5s';
