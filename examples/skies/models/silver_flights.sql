-- Flights without exact duplicates; three impossible delays go to quarantine. 2001-07-01 has six rows,
-- which the ledger flags as incomplete.
MODEL (
  name silver.flights,
  kind INCREMENTAL_BY_TIME_RANGE (time_column date, batch_size 400),
  on arrival,
  start '2001-01-01',
  end '2001-07-02',
  cron '@daily',
  description 'Domestic flights of the first half of 2001, local times',
  dedup all,
  complete (min_part 0.5, on_low flag),
  suite 'suites/flights.json',
  gate (min_score 0.90, on_fail quarantine),
  owner 'skies', tags (silver)
);
SELECT date, delay, distance, origin, destination
FROM source('skies', 'flights-3m.parquet')
WHERE date >= $start_ts AND date < $end_ts
