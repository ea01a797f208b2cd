MODEL (
  name gold.delay_by_airport_hour,
  kind FULL,
  description 'Delays by airport of departure and hour of the day',
  grain (origin, hour),
  audits (
    not_null(columns := (origin, hour)),
    unique_combination_of_columns(columns := (origin, hour)),
    accepted_range(column := hour, min := 0, max := 23),
    references(column := origin, table := 'silver.known_airports', table_column := 'iata')
  ),
  owner 'skies', tags (gold)
);
SELECT
  origin,
  CAST(hour(date) AS INTEGER) AS hour,
  CAST(count(*) AS BIGINT) AS flights,
  round(avg(delay), 4) AS avg_delay,
  CAST(count(*) FILTER (WHERE delay >= 15) AS BIGINT) AS late15
FROM silver.flights
GROUP BY 1, 2
