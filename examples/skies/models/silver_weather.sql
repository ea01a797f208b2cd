MODEL (
  name silver.weather,
  kind FULL,
  on arrival,
  description 'Weather of Seattle and New York, 2012 to 2015',
  grain (location, day),
  columns (
    location VARCHAR, day DATE, precipitation DOUBLE, temp_max DOUBLE, temp_min DOUBLE, wind DOUBLE,
    weather VARCHAR
  ),
  audits (
    not_null(columns := (location, day)),
    unique_combination_of_columns(columns := (location, day)),
    accepted_values(column := weather, values := ('drizzle', 'rain', 'sun', 'snow', 'fog'))
  ),
  owner 'skies', tags (silver)
);
SELECT location, date AS day, precipitation, temp_max, temp_min, wind, weather, _file, _row, _raw
FROM source('skies', 'weather.csv')
