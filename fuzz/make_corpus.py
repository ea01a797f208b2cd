#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets of format/ to corpus/NAME/, real and hostile ones.

Only the Python standard library. The inputs in base85 were written by Arrow C++ 26 (tables of two and
three rows) and stand here because no writer of theirs is in the standard library. Inputs that a fuzzer
found stay in the corpus under the names it gave them; this script does not touch them.
"""
import base64
import gzip
import os
import struct
import zlib

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")

ARROW = [
    r"""|NsC0r~m)}5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40ssI2KmY&$1ONa4*#H0k000365C8xG7ytkO"""
    r"""1ONa4000000RR91a{vGU1ONm81ONa45C9Ya2ml5E2LKEJ000mG5C8xG000335C8xG8~^|S1ONa4000000RR91X#fBK2mlNK2ml8F"""
    r"""2mk;800001AOHXW00000|NsC0$N&HU6aWAK000003;-"""
    r"""4Y1^@*B2mlNK3;+NC00RU77ytkOH~;_u00000000UA7yt|a1ONyC3IG5AYybcN5C8xG0{{R300000000001poj500000000000RR"""
    r"""91000002mk;8000003;+NC000007ytkO000000RR9100000AOHXW000005C8xG00000FaQ7m000000{{R300000000000ssI20{{"""
    r"""R3000000RR91000000{{R3000000RR91000001poj5000000RR91000000{{R3000000{{R300000000000RR910{{R30{{R3c*C"""
    r"""Rs00000|NsC000000""",
    r"""|NsC0@Bsh-"""
    r"""5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40{{R3OaTA@!~g&Q1ONa4l>Yz!0003I6aWAK7ytkO1ONa4"""
    r"""0RR915C8xG0RR91Z2$lO!2bXLp#T5>0000D7ytkOAOHXW1ONa40ssI2SO5S36aWAK2LJ#7Wo~qGX=QT&@c#e*?Ee4%000335C8xG"""
    r"""7ytkO1ONa4000001poj5c42IFWdHyG-"""
    r"""2VUn00001AOHXW5C9Ya2mk;82LKEJ000mG5C8xG000055C8xG6aWAK1ONa4000000{{R3Yh`%=RR90~Q2+n`0003E7ytkO8~^|S1"""
    r"""ONa40ssI2NB{r;5C8xG0ssI2b94XzfdBvheE<Ld000385C8xG8~^|S1ONa4000000RR91WB>pF2mlNK1ONyC2mk;82><{90ssI2u"""
    r""">b%6000375C8xG6aWAK1ONa4000000RR91VE_OC*#H0k)c^ng0003D6aWAK8~^|S1ONa40RR91Bme*a0RR91YybcN1ONm81ONa45"""
    r"""C9Ya2ml5E2LKEJ000mG5C8xG000335C8xGAOHXW1ONa4000001ONa4X>?_6000002mlNK2ml8F2mk;800001KmY&$|NsC0_yGU_6"""
    r"""aWAK000003;-"""
    r"""4Y1^@*B2mlNK3;+NC00RU77ytkOm;e9(00000000UA7yt|a1ONyC3IG5AECB!j5C8xG0{{R300000000005dZ)H00000000000RR"""
    r"""91000002mk;8000005C8xG000007ytkO0000000000000007ytkO000007ytkO00000FaQ7m000000000000000FaQ7m00000000"""
    r"""0000000FaQ7m000000RR9100000H~;_u000000000000000H~;_u00000FaQ7m00000XaE2J000000RR9100000Z~y=R000005C8"""
    r"""xG00000fB*mh000000000000000fB*mh000000000000000fB*mh000002mk;800000hyVZp000000RR9100000kN^Mx00000000"""
    r"""0000000kN^Mx000001ONa400000000002><{90{{R3000000RR91000000{{R30000000000000000{{R30000000000000000{{"""
    r"""R30000000000000000{{R30000000000000000{{R3000000RR91000000RR910000000000000000RR910000000000000000RR"""
    r"""910000000000000001poj500000000000RR910RR910{{R30RR91000000ssI2000000{{R3000002LJ#700000mH+?%00000000"""
    r"""0000000mH+?%000000000000000mH+?%0000000000000000{{R300000000000RR910RR910RR91000000RR91YXATM000000RR"""
    r"""9100000|NsC000000""",
    r"""|NsC0paB2?5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa41^@s6FaZDn@Bjb+!~g&QSO5S3FaQ7m1ONa4"""
    r"""`2PR@000345C8xG6aWAK1ONa4000000RR91X8-"""
    r"""^ICjbBc00062ApigW000325C8xG6aWAK1ONa4000000RR91ZU6uPbpQYVMF0Q)0003H6aWAK8~^|S1ONa40RR917ytkO0RR91W&j"""
    r"""2N2mk~C1^@s60ssI2bpQYV000335C8xGAOHXW1ONa4000001ONa4X>?_6000002mlNK2ml8F2mk;8000015C8xGtpET2000355C8"""
    r"""xG7ytkO1ONa4000000RR91dH?_b1ONm81ONa4)c^ng000395C8xG7ytkO1ONa4000000RR91WB>*L2ml5E1^@s6000005C9Ya2ml"""
    r"""5E2LKEJ000mG5C8xG0003B5C8xG8~^|S1ONa4000000RR91bN~PV2mlNK1^@^E2mk;8000621ONa40{{R3Ra8R&00000|NsC0hye"""
    r"""fq6aWAK000003;-"""
    r"""4Y1^@*B2mlNK3;+NC00RU77ytkOU;qFB00000000UA7yt|a1ONyC3IG5A+yDRo5C8xG0ssI200000000003;+NC0000000000000"""
    r"""000000000000000005C8xG000005C8xG0000000000000005C8xG000002mk;8000007ytkO000000RR9100000AOHXW000003;+"""
    r"""NC00000FaQ7m000000RR9100000H~;_u000000RR9100000KmY&$000000RR9100000NB{r;000002mk;800000Pyhe`00000000"""
    r"""0000000Pyhe`000005C8xG00000000002LJ#70ssI20000000000000000ssI20000000000000000ssI2000000RR91000000ss"""
    r"""I2000000RR91000001ONa4000000ssI2000000ssI2000000ssI2000000ssI20000000000000000RR91000000ssI2000000RR"""
    r"""910ssI20RR9100000000000RR910RR9100000VE_OC000000RR91000000{{R3000000RRF30000000000008(u00000008)Z|Ns"""
    r"""C000000""",
]
PARQUET_TINY = (
    r"""6$BYPH2@d}b7N>_ZDADz02Kly0vG~mWK|9T6$~W;7y)D@08AVJ000&S85|ibCIB220vRO+02vqpX=D`u76ul27J4QKJQxH50000O"""
    r"""1OWg502Tr$1Ofm602l-"""
    r"""T0000H5daw+6#x|g6#@V}DFzuP0t5g6044w&6$}|A1^^it0b~^b76ukx7G5TT0X#MWC<1wT7y)<@5daw+6#x|g6#@V}76usx872Y"""
    r"""*0000M*Z~#>CI}YT0RSi<aA9(Bb!BudV{mXSVRCYBcOZ6Ua&u{KZXhx?E-)@J87v$C02}}S00"""
)
PARQUET_WIDE_FILE_BYTES = 4938
PARQUET_WIDE_ZLIB = (
    r"""c-oa#O=ufO6rNpgl#QY|a^jh+iVnVLP-"""
    r"""`cOUE6hv0~uL=Zsa5uiBp@<R+ePNmh3o|WZ5p1VoC@l$6#_OJ(Ltm2%(goN})aU6iN@Fha5^VC4>-"""
    r"""42|bh^Ox^cp|72Gd&0^2a%)a-1?|t*$*i;K_u>oRuD!HqL`78|*s)kfUnI%-icbQNhzAGV;4iZ9WJJl(y^C2(Q=#ic)IO0B9tJO-"""
    r"""VGkvQg*hBD<NNT<s@}<kL9Dqf6ma5c~9>%3+Xyw^Tm8z!m{zADhUs$M0JJ{B&NLE5!>HA0h9SA5xS+zm|J7pf=)O3#tcc4^QeRnx"""
    r"""qt`*SP7a~R*?AU=L*gpA{P%q-l5K8bpZQ`~~&o0>MsWU4UdoA<|uy<jKOb-MDTYgT0R1FLek3Rr1Q6JM;nSH>|aXn~gD%cs?*7o)"""
    r"""`Q^O6bjt&y&0jUUPOQ;`S!>@V*T=f9%2BV$q#$h^05L>gc%M$w|g>5MOiNbFvK|?40&wqY~sCpYQAK+=S+mi1dql|rfm?k8j&*rO"""
    r"""0zGZe(;lHc=6E!%fhSjw-L&-KnW8Q#`_dTOQw(h4r60hCH%RAaUZ{v5{KphC|eM8&c-"""
    r"""U^^P?y6<9zhJZv{JYeFQj_r0tjaev{+Wj2oasuWk{;sD7zsDo-HVRsK=&uoJ@H%O*ar<&Ea|3Lng6(tZ|s9?o}S0k#Sv&4RxROg9"""
    r"""s~G$9Xqobg1(TwVD|uUdD+JbyRGoY9=`4gx+iPsihc50xXEr)cCM>|gsKwM^HYpqvx8<D6AVMgDJyP@`}xLxNKugmj3cJ#uJ%ZAk"""
    r"""jNarMuxAB(4ofqk_@Yo;R;*e-{^c@4-"""
    r"""S&Ba@|m_H!Uzd;2=Ic1{L=Fh*e=0;*c`$c06{v1b>e$@h=YW7bbYgP)d7%bDh}mPZ56ODD7{QWCy%?aY%x9*do8<<-"""
    r"""Z+xS$&W&K}^PV10;HQltv|^*KV1ahL->GAb;e=s+Ny-#-"""
    r"""6?SPPY7ic3U>l9pt;!X;n1|P!F(8OSWM)%%2?`HWbBB@HUZe1Oq$j*@5x^Q66>D*LGYScyT(){OaR(eJH(3whj1gD!xBpx5EzxD8"""
    r"""JQ7Pwcol;QDn+@!=tU`w#+Z+38%~kYmdZ+r%L6QLDq8o4O_utL%ote`@C+wo6D7F8$H6qD{!Z5ONbC+24S|b@op?=wtXqCUgGso9"""
    r"""3TR<FPj)pJGf1F)qyKtPph(EsBH?MKMy8d(o&6V>lTRVpMLpZ+QCg%O!9V6KFPqc(FRTiwc^h>fi<|SYH!yA<j#rlQ_=dkd)MQ2Q"""
    r"""PhbC=wZhNqi(OH|6)Za2}jSdvVsg4B@ZhES8I0h(z#1Y(*O7-1vkQx)4(fRzgJ#Y#iTq>SK`^(?4oDUE1Z38i~pIa!n*-"""
    r"""ry#z%V}G@&y_`-"""
    r"""W{^&)pKXu8r7b|<)PoaH$y4%cuRLop>JrY4>GI4326i&QRR}`s7RqBEEgRzL|FU}>M%q>&IPZV8##7<7s@~O8Lr`{eD(F<=ts2Fd"""
    r"""f{>5GTqieKp^72aW6oxW3XW5IWT@(qsKI&%O#NGN5(ahfZX8R@vL~;)E?~g27=b0()I?qwN=&Yb{9bL=ASjPDKE?WA<6D{gz0B1F"""
    r"""{@1N`bAN3~r3TQ7YH7<>+_IkYD;(TO$l`L$>phhF7*1B8ki~iBYd~!mbsW=zww)HhdT(izMJ{orpvC&`hmGb5yiH8mpNmpsd|7;8"""
    r"""YlexMq9XP*9r|->b8h6fXVj>e0sW}@j)f`XiSF)VP(BH-"""
    r"""z8MpaHDtHsgelqK0vRQxR>ZU$X3%?ijl=_cKq=c)#D`gT5VsQ)KsyqadaU`*{VitoFw1t;yidV9NuA_g-"""
    r"""Y%1Z_zc_uG7+s6mrR%jq^>}V^@pyJ==~}&Oxv*53y|&QRH+bUYiC*}}9RACHsUPw${WgC^"""
)


def put(target, name, data):
    folder = os.path.join(HERE, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def json_inputs():
    put("json", "object", '{"a": [1, -2.5e3, true, null, "x\\u00e4\\n"], "b": {}, "": [[]]}')
    put("json", "numbers", "[0,-0,18446744073709551615,-9223372036854775808,0.1,1e-7,1e21,5e-324,"
        "123456789012345678901234567890,1.7976931348623157e308]")
    put("json", "too_large_number", "[1e999]")
    put("json", "surrogates", '"\\ud83d\\ude00\\ud800"')
    put("json", "twice", '{"a":1,"\\u0061":2}')
    put("json", "deep", "[" * 3000 + "]" * 3000)
    put("json", "deep_objects", '{"a":' * 60 + "1" + "}" * 60)
    put("json", "bad_utf8", b'"\xc0\x80\xff"')
    put("json", "nan", "[NaN, Infinity]")
    put("json", "cut", '{"a": "b')
    put("json", "order", '{"\\ufb33":1,"\\ud83d\\ude00":2,"\\u20ac":3,"\\r":4,"1":5}')


def zigzag(number):
    value = (number << 1) ^ (number >> 63) if number >= 0 else ((-number) << 1) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def avro_text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return zigzag(len(data)) + data


def avro_file(schema, block, count, codec="null", sync=b"0123456789abcdef"):
    meta = zigzag(2) + avro_text("avro.schema") + avro_text(schema) + avro_text("avro.codec") + avro_text(codec)
    return b"Obj\x01" + meta + zigzag(0) + sync + zigzag(count) + zigzag(len(block)) + block + sync


def avro_inputs():
    entry = ('{"type":"record","name":"e","fields":[{"name":"s","type":"int","field-id":0},'
             '{"name":"i","type":["null","long"],"field-id":1},{"name":"m","type":["null",{"type":"array",'
             '"logicalType":"map","items":{"type":"record","name":"kv","fields":[{"name":"key","type":"int"},'
             '{"name":"value","type":"bytes"}]}}]},{"name":"f","type":{"type":"fixed","name":"fx","size":3}},'
             '{"name":"d","type":"double"},{"name":"b","type":"boolean"},{"name":"e","type":{"type":"enum",'
             '"name":"en","symbols":["A","B"]}},{"name":"mm","type":{"type":"map","values":"string"}}]}')
    value = (zigzag(1) + zigzag(1) + zigzag(-5) + zigzag(1) + zigzag(2) + zigzag(7) + avro_text(b"\xff") + zigzag(8) +
             avro_text("") + zigzag(0) + b"abc" + struct.pack("<d", 1.5) + b"\x01" + zigzag(1) + zigzag(1) +
             avro_text("k") + avro_text("v") + zigzag(0))
    put("avro", "records", avro_file(entry, value * 3, 3))
    squeezed = zlib.compressobj(6, zlib.DEFLATED, -15)
    put("avro", "deflate", avro_file(entry, squeezed.compress(value * 3) + squeezed.flush(), 3, "deflate"))
    put("avro", "null_bomb", avro_file('{"type":"array","items":"null"}', zigzag(1 << 40) + zigzag(0), 1))
    put("avro", "empty_records", avro_file('{"type":"record","name":"r","fields":[]}', b"", 4096))
    put("avro", "recursive", avro_file('{"type":"record","name":"n","fields":[{"name":"n","type":["null","n"]}]}',
                                       b"\x02" * 200 + b"\x00", 1))
    put("avro", "negative_count", avro_file('{"type":"array","items":"long"}',
                                            zigzag(-2) + zigzag(2) + b"\x02\x04" + zigzag(0), 1))
    put("avro", "deep_schema", avro_file('{"type":"array","items":' * 100 + '"int"' + "}" * 100, b"\x00", 1))
    put("avro", "unknown_codec", avro_file('"int"', b"\x02", 1, "lzma"))
    put("avro", "cut", avro_file(entry, value, 1)[:-20])


def http_inputs():
    heads = {
        "get": b"GET /a/b%20c?x=1 HTTP/1.1\r\nHost: h\r\nRange: bytes=5-\r\n\r\n",
        "put": b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\nhello",
        "absolute": b"GET http://h:80/x HTTP/1.1\r\nHost: o\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n",
        "length_and_coding": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "space_before_colon": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
        "folded": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "bare_cr": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        "bare_lf": b"GET / HTTP/1.1\nHost: h\n\n",
        "nul": b"GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n",
        "old": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "ipv6": b"OPTIONS * HTTP/1.1\r\nHost: [fe80::1:1.2.3.4]:80\r\nOrigin: http://a\r\nExpect: 100-continue\r\n\r\n",
        "same_host": b"GET https://A:443?q HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nX: \x80\t01234567\xff\r\n\r\nG",
        "codings": b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "many_fields": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 100 + b"\r\n",
    }
    for name, head in heads.items():
        put("http", name, b"H" + head)
    chunks = {
        "chunks": b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET",
        "chunk_0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "chunk_too_long": b"5\r\nhello!\r\n0\r\n\r\n",
        "chunk_huge": b"FFFFFFFFFFFFFFFF\r\n",
        "chunk_most": b"fffffffffffffff\r\nabc",
        "chunk_bad_trailer": b"0\r\n x\r\n\r\n",
        "trailers": b"3;a=\"b\\\";c\" ; d\r\nabc\r\n0\r\nx-sum: 1 \r\nAuthorization: x\r\nE:\r\n\r\nPUT",
        "trailer_host": b"0\r\nx: y\r\nHost: h\r\n\r\n",
        "trailer_folded": b"0\r\nx: y\r\n z\r\n\r\n",
    }
    for name, body in chunks.items():
        put("http", name, b"C" + body)


def arrow_inputs():
    for i, text in enumerate(ARROW):
        data = base64.b85decode(text)
        put("arrow", "stream%d" % i, data)
        put("arrow", "cut%d" % i, data[:len(data) * 2 // 3])
    put("arrow", "huge_metadata", b"\xff\xff\xff\xff\xff\xff\xff\x7f")
    put("arrow", "root_outside", b"\xff\xff\xff\xff\x08\0\0\0\xff\xff\xff\xff\0\0\0\0")
    put("arrow", "end_only", b"\xff\xff\xff\xff\0\0\0\0")


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def parquet_inputs():
    def with_size(size, data):
        return struct.pack("<I", size) + data
    tiny = base64.b85decode(PARQUET_TINY)
    wide = zlib.decompress(base64.b85decode(PARQUET_WIDE_ZLIB))
    put("parquet", "tiny", with_size(353, tiny))
    put("parquet", "tiny_cut_file", with_size(300, tiny))
    put("parquet", "wide", with_size(PARQUET_WIDE_FILE_BYTES, wide))
    group, leaf = b"\x48\x01g\x15\x02\x00", b"\x15\x02\x25\x00\x18\x01x\x00"
    for levels in (3, 100, 2000):
        schema = b"\x15\x02\x19\xfc" + varint(levels + 1) + group * levels + leaf
        put("parquet", "deep%d" % levels, with_size(1 << 20, schema + b"\x16\x00\x19\x0c\x00"))
    put("parquet", "deep_thrift", with_size(1 << 20, b"\xdc" + b"\x1c" * 500))
    put("parquet", "huge_list", with_size(1 << 20, b"\x15\x02\x19\xfc\xff\xff\xff\xff\x0f"))
    put("parquet", "page", with_size(62, b"\x15\x00\x15\xc8\x01\x15\x64\x2c\x15\x0e\x00\x00"))
    put("parquet", "page_v2", with_size(500, b"\x15\x06\x15\x64\x15\x64\x5c\x15\x0e\x15\x00\x15\x0e\x15\x00\x15\x06\x15\x00\x00\x00"))
    put("parquet", "tail", with_size(353, b"\xe9\0\0\0PAR1"))


def inflate_inputs():
    text = b"".join(b"line %d of a file\n" % i for i in range(200))
    packed = gzip.compress(text, 9, mtime=0)
    put("inflate", "gzip", b"\0" + packed)
    put("inflate", "gzip_two_members", b"\0" + packed + gzip.compress(b"more", mtime=0))
    put("inflate", "gzip_bad_crc", b"\0" + packed[:-8] + b"\0\0\0\0" + packed[-4:])
    put("inflate", "gzip_cut", b"\0" + packed[:-20])
    put("inflate", "gzip_bomb", b"\0" + gzip.compress(b"\0" * (2 << 20), 9, mtime=0))
    put("inflate", "zlib", b"\2" + zlib.compress(text))
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    put("inflate", "raw", b"\3" + raw.compress(text) + raw.flush())
    put("inflate", "raw_and_tail", b"\3" + b"\x03\x00abc")
    put("inflate", "zstd_raw_block", b"\1" + b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello")
    put("inflate", "zstd_rle_bomb", b"\1" + b"\x28\xb5\x2f\xfd\xa0\0\0\0\x80" + b"\x02\x00\x10a" * 64 + b"\x03\x00\x10a")
    put("inflate", "zstd_cut", b"\1" + b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hel")


if __name__ == "__main__":
    json_inputs()
    avro_inputs()
    http_inputs()
    arrow_inputs()
    parquet_inputs()
    inflate_inputs()
