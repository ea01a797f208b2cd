-- Airports that silver.airports does not know, kept by hand.
MODEL (
  name silver.extra_airports,
  kind SEED (path 'seeds/extra_airports.csv'),
  grain (iata),
  columns (
    iata VARCHAR, name VARCHAR, city VARCHAR, state VARCHAR, country VARCHAR,
    latitude DOUBLE, longitude DOUBLE
  ),
  audits (not_null(columns := (iata)), unique(columns := (iata))),
  owner 'skies', tags (silver, seed)
);
