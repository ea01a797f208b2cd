-- One row a feature of the GeoJSON document.
MODEL (
  name silver.quakes,
  kind FULL,
  on arrival,
  description 'Earthquakes of one week, as the USGS reported them',
  grain (id),
  columns (
    id VARCHAR, place VARCHAR, kind VARCHAR, status VARCHAR, net VARCHAR,
    mag DOUBLE, mag_type VARCHAR, depth_km DOUBLE, longitude DOUBLE, latitude DOUBLE,
    time_ms BIGINT, updated_ms BIGINT, felt BIGINT, tsunami BIGINT, significance BIGINT, stations BIGINT
  ),
  suite 'suites/quakes.json',
  owner 'skies', tags (silver)
);
SELECT
  f ->> '$.id' AS id,
  f ->> '$.properties.place' AS place,
  f ->> '$.properties.type' AS kind,
  f ->> '$.properties.status' AS status,
  f ->> '$.properties.net' AS net,
  f ->> '$.properties.mag' AS mag,
  f ->> '$.properties.magType' AS mag_type,
  f ->> '$.geometry.coordinates[2]' AS depth_km,
  f ->> '$.geometry.coordinates[0]' AS longitude,
  f ->> '$.geometry.coordinates[1]' AS latitude,
  f ->> '$.properties.time' AS time_ms,
  f ->> '$.properties.updated' AS updated_ms,
  f ->> '$.properties.felt' AS felt,
  f ->> '$.properties.tsunami' AS tsunami,
  f ->> '$.properties.sig' AS significance,
  f ->> '$.properties.nst' AS stations,
  _file, _row, CAST(f AS VARCHAR) AS _raw
FROM (
  SELECT unnest(CAST(features AS JSON[])) AS f, _file, _row
  FROM source('skies', 'earthquakes.json')
)
