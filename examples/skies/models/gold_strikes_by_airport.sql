-- Strikes of 1990 to 2002 beside departures of half a year: a rank at most, never a rate.
MODEL (
  name gold.strikes_by_airport,
  kind FULL,
  description 'Bird strikes and their cost by airport, with its departures',
  grain (iata),
  suite 'suites/strikes_by_airport.json',
  gate (min_score 0.99, on_fail block),
  owner 'skies', tags (gold)
);
SELECT
  s.iata AS iata,
  CAST(count(*) AS BIGINT) AS strikes,
  CAST(sum(s.cost_total) AS BIGINT) AS cost_usd,
  CAST(coalesce(any_value(f.departures), 0) AS BIGINT) AS departures
FROM silver.strikes AS s
LEFT JOIN (
  SELECT origin, count(*) AS departures FROM silver.flights GROUP BY 1
) AS f ON f.origin = s.iata
GROUP BY 1
