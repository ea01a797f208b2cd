-- The names of airports in the reports of bird strikes, and the codes they mean.
MODEL (
  name silver.birdstrike_airports,
  kind SEED (path 'seeds/birdstrike_airports.csv'),
  grain (airport_name),
  columns (airport_name VARCHAR, iata VARCHAR),
  audits (not_null(columns := (airport_name, iata)), unique(columns := (airport_name))),
  owner 'skies', tags (silver, seed)
);
