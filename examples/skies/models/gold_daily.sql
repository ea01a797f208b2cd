MODEL (
  name gold.daily,
  kind FULL,
  description 'Flights and delays by day',
  grain (day),
  audits (not_null(columns := (day)), unique(columns := (day)), accepted_range(column := flights, min := 1)),
  owner 'skies', tags (gold)
);
SELECT
  CAST(date AS DATE) AS day,
  CAST(count(*) AS BIGINT) AS flights,
  CAST(sum(delay) AS BIGINT) AS delay_min,
  CAST(count(*) FILTER (WHERE delay >= 15) AS BIGINT) AS late15,
  CAST(sum(distance) AS BIGINT) AS miles,
  CAST(count(DISTINCT origin) AS BIGINT) AS airports
FROM silver.flights
GROUP BY 1
