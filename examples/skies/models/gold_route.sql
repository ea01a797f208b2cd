MODEL (
  name gold.route,
  kind FULL,
  description 'Flights and delays by route',
  grain (origin, destination),
  audits (
    not_null(columns := (origin, destination, distance_mi)),
    unique_combination_of_columns(columns := (origin, destination)),
    references(columns := (origin, destination), table := 'silver.known_airports', table_column := 'iata')
  ),
  owner 'skies', tags (gold)
);
SELECT
  origin,
  destination,
  CAST(count(*) AS BIGINT) AS flights,
  CAST(min(distance) AS INTEGER) AS distance_mi,
  round(avg(delay), 4) AS avg_delay,
  CAST(quantile_disc(delay, 0.95) AS BIGINT) AS p95_delay,
  CAST(min(date) AS DATE) AS first_day,
  CAST(max(date) AS DATE) AS last_day
FROM silver.flights
GROUP BY 1, 2
