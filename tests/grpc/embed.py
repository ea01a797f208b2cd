"""Writes the bytes of a file as a C array: embed.py IN OUT NAME."""
import sys

data = open(sys.argv[1], "rb").read()
rows = [", ".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32)]
with open(sys.argv[2], "w") as out:
    out.write(f"extern const unsigned char {sys.argv[3]}[];\nextern const unsigned long {sys.argv[3]}_len;\n")
    out.write(f"const unsigned char {sys.argv[3]}[] = {{\n  " + ",\n  ".join(rows) + "\n};\n")
    out.write(f"const unsigned long {sys.argv[3]}_len = sizeof {sys.argv[3]};\n")
