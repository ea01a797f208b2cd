// A thousand streams at once on one connection of node's own HTTP/2: streams.mjs URL CA-FILE. Prints as client.mjs does.
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [base, authority] = process.argv.slice(2);
const session = connect(base, { ca: readFileSync(authority) });
const trouble = [];
session.on("goaway", (code) => trouble.push(`GOAWAY ${code}`));
session.on("error", (e) => trouble.push(e.message));

function get(path) {
    return new Promise((done, failed) => {
        const stream = session.request({ ":path": path });
        let status = 0, length = 0, trailers = {};
        stream.on("response", (headers) => { status = headers[":status"]; });
        stream.on("trailers", (headers) => { trailers = headers; });
        stream.on("data", (piece) => { length += piece.length; });
        stream.on("end", () => done({ status, length, trailers }));
        stream.on("error", failed);
        stream.end();
    });
}

async function exchange(name, path, count, wanted) {
    try {
        const replies = await Promise.all(Array(count).fill(path).map(get));
        const good = replies.filter(wanted).length;
        console.log(good === count && trouble.length === 0 ? `ok ${name}` : `FAIL ${name}: ${good} of ${count}, ${trouble}`);
    } catch (e) {
        console.log(`FAIL ${name}: ${e.message}`);
    }
}

await exchange("a_thousand_streams", "/fixed", 1000, (reply) => reply.status === 200 && reply.length === 200);
await exchange("a_thousand_downloads", "/bytes/20000", 1000, (reply) => reply.status === 200 && reply.length === 20000);
await exchange("sixty_four_at_once", "/sleep/100", 64, (reply) => reply.status === 200);
await exchange("trailers_received", "/trailers", 10, (reply) => reply.trailers["x-check"] === "whole");
session.close();
process.exit(0);
