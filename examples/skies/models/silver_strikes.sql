-- Bird strikes with plain column names; codes of damage that nobody defined go to quarantine.
MODEL (
  name silver.strikes,
  kind FULL,
  on arrival,
  description 'Wildlife strikes at 50 airports, 1990 to 2002',
  dedup all,
  columns (
    airport_name VARCHAR, iata VARCHAR, aircraft VARCHAR, damage VARCHAR, flight_date DATE,
    operator VARCHAR, origin_state VARCHAR, phase VARCHAR, wildlife_size VARCHAR,
    wildlife_species VARCHAR, time_of_day VARCHAR, cost_other BIGINT, cost_repair BIGINT,
    cost_total BIGINT, speed_knots BIGINT
  ),
  suite 'suites/strikes.json',
  gate (min_score 0.90, on_fail quarantine),
  owner 'skies', tags (silver)
);
SELECT
  s."Airport Name" AS airport_name,
  a.iata AS iata,
  s."Aircraft Make Model" AS aircraft,
  s."Effect Amount of damage" AS damage,
  s."Flight Date" AS flight_date,
  s."Aircraft Airline Operator" AS operator,
  s."Origin State" AS origin_state,
  s."Phase of flight" AS phase,
  s."Wildlife Size" AS wildlife_size,
  s."Wildlife Species" AS wildlife_species,
  s."Time of day" AS time_of_day,
  s."Cost Other" AS cost_other,
  s."Cost Repair" AS cost_repair,
  s."Cost Total $" AS cost_total,
  s."Speed IAS in knots" AS speed_knots,
  s._file AS _file, s._row AS _row, s._raw AS _raw
FROM source('skies', 'birdstrikes.csv') AS s
LEFT JOIN silver.birdstrike_airports AS a ON a.airport_name = s."Airport Name"
