"""Python clients go through the script against the S3 door, with nothing but end point, region and key."""
import sys

from adapters import Arrow, Boto3, Minio, Obstore, OpenDal
from script import run
from stand import Results, Stand


def main():
    stand, results = Stand(), Results()
    for place in stand.places():
        for make in (Boto3, Minio, Arrow, Obstore, OpenDal):
            run(results, make, place)
    return stand.end(results)


if __name__ == "__main__":
    sys.exit(main())
