// The script of exchanges (../script.py) spelled for undici: client.mjs UNDICI-FOLDER URL CA-FILE 1|2. Prints `ok NAME`,
// `FAIL NAME: TEXT` or `skip NAME: TEXT` for each.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

const [folder, base, authority, version] = process.argv.slice(2);
const { Agent } = createRequire(import.meta.url)(folder);
const LARGE = 16 << 20;
const http2 = version === "2";
const options = { allowH2: http2, connect: { ca: readFileSync(authority) }, bodyTimeout: 60000, headersTimeout: 60000 };
// Over HTTP/2 one request a connection at a time: undici 6.29 takes replies that end in another order for each other's (with
// nginx as well). streams.mjs has the many streams.
const one = new Agent({ ...options, connections: 1, pipelining: 1 });
const many = new Agent({ ...options, connections: 64, pipelining: 1 });

function pattern(from, length) {
    const out = Buffer.alloc(length);
    for (let i = 0; i < length; i++)
        out[i] = (from + i) % 251;
    return out;
}

function same(got, wanted, what = "it is") {
    if (got !== wanted)
        throw new Error(`${what} ${String(got).slice(0, 200)}, wanted ${String(wanted).slice(0, 200)}`);
}

async function ask(method, target, { headers, body, dispatcher = one, ...more } = {}) {
    const reply = await dispatcher.request({ origin: base, method, path: target, headers, body, ...more });
    const bytes = Buffer.from(await reply.body.arrayBuffer());
    return { status: reply.statusCode, headers: reply.headers, trailers: reply.trailers, bytes, text: bytes.toString() };
}

async function fixed() {
    const reply = await ask("GET", "/fixed");
    same(reply.status, 200);
    same(JSON.parse(reply.text).ok, true);
}

function sunk(reply, body) {
    same(reply.status, 200);
    const told = JSON.parse(reply.text);
    same(told.bytes, body.length);
    same(told.sha256, createHash("sha256").update(body).digest("hex"));
}

async function client() {
    return JSON.parse((await ask("GET", "/headers")).text).client;
}

async function statuses(targets) {
    const replies = await Promise.all(targets.map((target) => ask("GET", target, { dispatcher: many })));
    same(replies.filter((reply) => reply.status === 200).length, targets.length);
}

class Skip extends Error {}

const exchanges = {
    small: fixed,
    async head() {
        const reply = await ask("HEAD", "/fixed");
        same(reply.status, 200);
        same(Number(reply.headers["content-length"]) > 100 && reply.bytes.length === 0, true);
    },
    async large_download() {
        same((await ask("GET", `/bytes/${LARGE}`)).bytes.equals(pattern(0, LARGE)), true);
    },
    async download_without_length() {
        const reply = await ask("GET", "/bytes/1000000?length=no");
        same(reply.headers["content-length"], undefined);
        same(reply.bytes.equals(pattern(0, 1000000)), true);
    },
    async large_upload() {
        const body = pattern(0, LARGE);
        sunk(await ask("PUT", "/sink", { body }), body);
    },
    async upload_without_length() {
        const body = pattern(0, 5000000), pieces = [];
        for (let at = 0; at < body.length; at += 70001)
            pieces.push(body.subarray(at, at + 70001));
        sunk(await ask("POST", "/sink", { body: Readable.from(pieces) }), body);
    },
    async echoed() {
        const body = pattern(7, 300000);
        same((await ask("POST", "/echo", { body })).bytes.equals(body), true);
    },
    async parts() {
        const part = await ask("GET", "/bytes/1000000", { headers: { range: "bytes=1000-1999" } });
        same(part.status, 206);
        same(part.bytes.equals(pattern(1000, 1000)), true);
        same((await ask("GET", "/file", { headers: { range: "bytes=-5" } })).status, 206);
        same((await ask("GET", "/bytes/1000", { headers: { range: "bytes=1000-" } })).status, 416);
    },
    async no_content_and_not_modified() {
        for (const status of [204, 304])
            same((await ask("GET", `/status/${status}`)).status, status);
        await fixed();
    },
    async error_documents() {
        for (const [method, target, status] of [["GET", "/nothing", 404], ["DELETE", "/fixed", 405], ["POST", "/early", 403]]) {
            const reply = await ask(method, target, method === "POST" ? { body: "x" } : {});
            same(reply.status, status, target);
            same(reply.headers["content-type"], "application/problem+json");
        }
    },
    async trailers_received() {
        if (http2)
            throw new Skip("undici gives none over HTTP/2");
        same((await ask("GET", "/trailers")).trailers["x-check"], "whole");
    },
    async abort_of_a_download() {
        const reply = await one.request({ origin: base, method: "GET", path: `/bytes/${LARGE}` });
        reply.body.on("error", () => {});
        for await (const piece of reply.body) {
            same(piece[1], 1);
            break;
        }
        await fixed();
    },
    async abort_of_an_upload() {
        const stop = new AbortController();
        async function* pieces() {
            yield Buffer.alloc(1000);
            stop.abort();
            await pause(10000, undefined, { ref: false });
        }
        try {
            await ask("PUT", "/sink", { headers: { "content-length": String(1 << 20) }, body: Readable.from(pieces()), signal: stop.signal });
        } catch {
            return fixed();
        }
        throw new Error("the upload went through");
    },
    async slow_reader() {
        const reply = await one.request({ origin: base, method: "GET", path: "/bytes/3000000" });
        const got = [];
        for await (const piece of reply.body) {
            got.push(piece);
            await pause(1);
        }
        same(Buffer.concat(got).equals(pattern(0, 3000000)), true);
    },
    async a_reply_that_breaks_off() {
        try {
            await ask("GET", "/bytes/4000000?length=no&cut=1000000");
        } catch {
            return;
        }
        throw new Error("it was taken for the whole");
    },
    async a_connection_is_used_again() {
        const first = await client();
        for (let i = 0; i < 50; i++)
            same(await client(), first);
    },
    async the_server_closes() {
        if (http2)
            throw new Skip("of HTTP/1.1");
        const first = await ask("GET", "/headers", { reset: true });
        same(first.headers.connection, "close");
        same(await client() === JSON.parse(first.text).client, false);
    },
    async a_large_header() {
        const value = "!abcdefghijklmn~".repeat(900);
        same((await ask("GET", "/headers", { headers: { "x-large": value }, dispatcher: many })).text.includes(value), true);
    },
    async odd_bytes_of_a_path() {
        for (const [target, status] of [["/status/20%30", 200], ["/status%2F200", 404], ["/status/./200", 404], ["/status/../fixed", 404]])
            same((await ask("GET", target)).status, status, target);
    },
    async compressed_reply() {
        const reply = await ask("GET", "/headers", { headers: { "x-filler": "filler ".repeat(300) + "end", "accept-encoding": "gzip" } });
        same(reply.headers["content-encoding"], "gzip");
        same(JSON.parse(gunzipSync(reply.bytes)).target, "/headers");
    },
    async a_thousand_requests() {
        await statuses(Array(1000).fill("/fixed"));
    },
    async sixty_four_at_once() {
        await statuses(Array(64).fill("/sleep/100"));
    },
};

for (const [name, run] of Object.entries(exchanges)) {
    try {
        await Promise.race([run(), pause(20000, undefined, { ref: false }).then(() => { throw new Error("no end within 20 s"); })]);
        console.log(`ok ${name}`);
    } catch (e) {
        console.log(`${e instanceof Skip ? "skip" : "FAIL"} ${name}: ${String(e.message).replaceAll("\n", " ")}`);
    }
}
for (const name of ["continue_accepted", "continue_refused", "trailers_sent"])
    console.log(`skip ${name}: undici has it not`);
process.exit(0);
