"""A small S3 client for the crash suites: signed requests over one kept connection, nothing is retried."""
import base64
import hashlib
import hmac
import http.client
import time
import xml.etree.ElementTree as ET
from urllib.parse import quote

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
REGION = "us-east-1"


class Unknown(Exception):
    """The connection ended before an answer: the request may have happened."""


class Refused(Exception):
    """S3's error: status and code. It did not happen, unless the status is 5xx."""

    def __init__(self, status, code, text):
        super().__init__(f"{status} {code} {text[:200]}")
        self.status, self.code = status, code


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def etag(self):
        return self.headers.get("etag", "").strip('"')

    @property
    def version(self):
        return self.headers.get("x-amz-version-id")

    def xml(self):
        return ET.fromstring(self.body)


def _mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3:
    """One connection. `admin`: what DIR/admin.json holds."""

    def __init__(self, admin, timeout=30):
        self.host, self.timeout = admin["s3"], timeout
        self.access, self.secret = admin["access_key"], admin["secret_key"]
        self.connection, self.day, self.key = None, "", b""

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _signed(self, method, path, query, headers, payload):
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if self.day != now[:8]:
            self.day, key = now[:8], ("AWS4" + self.secret).encode()
            for part in (self.day, REGION, "s3", "aws4_request"):
                key = _mac(key, part)
            self.key = key
        headers = {"host": self.host, "x-amz-date": now, "x-amz-content-sha256": payload, **headers}
        names = sorted(headers)
        canonical = "\n".join([method, path, query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names), payload])
        scope = f"{self.day}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={';'.join(names)}, "
                                    f"Signature={_mac(self.key, text).hex()}")
        return headers

    def ask(self, method, bucket, key="", query=None, body=b"", headers=None, signed_body=False):
        path = quote(f"/{bucket}/{key}" if key else f"/{bucket}", safe="/~")
        text = "&".join(f"{quote(k, safe='~')}={quote(str(v), safe='~')}" for k, v in sorted((query or {}).items()))
        payload = hashlib.sha256(body).hexdigest() if signed_body else "UNSIGNED-PAYLOAD"
        headers = self._signed(method, path, text, {k.lower(): v for k, v in (headers or {}).items()}, payload)
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection(self.host, timeout=self.timeout)
            self.connection.request(method, path + ("?" + text if text else ""), body or None,
                                    {**headers, "content-length": str(len(body))})
            got = self.connection.getresponse()
            reply = Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        except (OSError, http.client.HTTPException) as why:
            self.close()
            raise Unknown(repr(why)) from why
        if got.will_close:
            self.close()
        if reply.status >= 300:
            code = message = ""
            if reply.body.startswith(b"<"):
                error = reply.xml()
                code, message = error.findtext("Code") or "", error.findtext("Message") or ""
            raise Refused(reply.status, code, message)
        return reply

    # ---- what the suites use ----
    def create_bucket(self, bucket, versions=False):
        self.ask("PUT", bucket)
        if versions:
            self.ask("PUT", bucket, query={"versioning": ""},
                     body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")

    def put(self, bucket, key, body, **more):
        return self.ask("PUT", bucket, key, body=body, **more)

    def get(self, bucket, key, version=None):
        return self.ask("GET", bucket, key, {"versionId": version} if version else None)

    def delete(self, bucket, key, version=None):
        return self.ask("DELETE", bucket, key, {"versionId": version} if version else None)

    def copy(self, bucket, key, source_bucket, source_key):
        reply = self.ask("PUT", bucket, key, headers={"x-amz-copy-source": quote(f"/{source_bucket}/{source_key}", safe="/~")})
        return reply, (reply.xml().findtext(NS + "ETag") or "").strip('"')

    def delete_many(self, bucket, keys):
        rows = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete>{rows}</Delete>".encode()
        reply = self.ask("POST", bucket, query={"delete": ""}, body=body, signed_body=True, headers={
            "content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()})
        return {row.findtext(NS + "Key"): row for row in reply.xml().findall(NS + "Deleted")}

    def upload_begin(self, bucket, key):
        return self.ask("POST", bucket, key, {"uploads": ""}).xml().findtext(NS + "UploadId")

    def upload_part(self, bucket, key, upload, number, body):
        return self.ask("PUT", bucket, key, {"uploadId": upload, "partNumber": number}, body=body).etag

    def upload_part_copy(self, bucket, key, upload, number, source_bucket, source_key):
        reply = self.ask("PUT", bucket, key, {"uploadId": upload, "partNumber": number},
                         headers={"x-amz-copy-source": quote(f"/{source_bucket}/{source_key}", safe="/~")})
        return (reply.xml().findtext(NS + "ETag") or "").strip('"')

    def upload_complete(self, bucket, key, upload, parts):
        rows = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
        reply = self.ask("POST", bucket, key, {"uploadId": upload},
                         f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode())
        xml = reply.xml()
        if xml.tag.endswith("Error"):  # S3 may say it behind a 200
            raise Refused(500, xml.findtext("Code") or "", xml.findtext("Message") or "")
        return reply, (xml.findtext(NS + "ETag") or "").strip('"')

    def upload_abort(self, bucket, key, upload):
        return self.ask("DELETE", bucket, key, {"uploadId": upload})

    def _pages(self, bucket, query, token, nexts):
        while True:
            page = self.ask("GET", bucket, query=query).xml()
            yield page
            if page.findtext(NS + "IsTruncated") != "true":
                return
            query = {**query, **{name: page.findtext(NS + tag) or "" for name, tag in zip(token, nexts)}}

    def list(self, bucket, size=1000):
        """[(key, etag, size)] of ListObjectsV2."""
        out = []
        for page in self._pages(bucket, {"list-type": 2, "max-keys": size}, ["continuation-token"], ["NextContinuationToken"]):
            out += [(row.findtext(NS + "Key"), row.findtext(NS + "ETag").strip('"'), int(row.findtext(NS + "Size")))
                    for row in page.findall(NS + "Contents")]
        return out

    def list_versions(self, bucket, size=1000):
        """{key: [(version, etag or None for a delete marker, is latest)]}, the newest first."""
        out = {}
        for page in self._pages(bucket, {"versions": "", "max-keys": size}, ["key-marker", "version-id-marker"],
                                ["NextKeyMarker", "NextVersionIdMarker"]):
            for row in page:
                if row.tag in (NS + "Version", NS + "DeleteMarker"):
                    etag = row.findtext(NS + "ETag")
                    out.setdefault(row.findtext(NS + "Key"), []).append(
                        (row.findtext(NS + "VersionId"), etag and etag.strip('"'), row.findtext(NS + "IsLatest") == "true"))
        return out

    def list_uploads(self, bucket):
        """{upload: key}"""
        out = {}
        for page in self._pages(bucket, {"uploads": ""}, ["key-marker", "upload-id-marker"], ["NextKeyMarker", "NextUploadIdMarker"]):
            out |= {row.findtext(NS + "UploadId"): row.findtext(NS + "Key") for row in page.findall(NS + "Upload")}
        return out

    def list_parts(self, bucket, key, upload):
        """{number: etag}"""
        page = self.ask("GET", bucket, key, {"uploadId": upload}).xml()
        return {int(row.findtext(NS + "PartNumber")): row.findtext(NS + "ETag").strip('"') for row in page.findall(NS + "Part")}
