-- A postal code is text: 00501 keeps its zeros.
MODEL (
  name silver.zipcodes,
  kind FULL,
  on arrival,
  grain (zip_code),
  columns (
    zip_code VARCHAR, latitude DOUBLE, longitude DOUBLE, city VARCHAR, state VARCHAR, county VARCHAR
  ),
  audits (
    not_null(columns := (zip_code)),
    unique(columns := (zip_code)),
    match_regex(column := zip_code, regex := '^[0-9]{5}$')
  ),
  owner 'skies', tags (silver)
);
SELECT zip_code, latitude, longitude, city, state, county, _file, _row, _raw
FROM source('skies', 'zipcodes.csv')
