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
    if stand.lake.stop() != 0:
        results.line("FAIL", "the server ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
