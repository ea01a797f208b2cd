/* The script of tests/s3_clients with minio-js: minio.js END-POINT BUCKET. Keys and region are in the environment. */
const { Readable } = require('node:stream');
const minio = require('minio');
const { SMALL, large, equal, run, digest } = require('./exchanges.js');

const [url, bucket] = [new URL(process.argv[2]), process.argv[3]];
const client = () => new minio.Client({
    endPoint: url.hostname, port: Number(url.port), useSSL: url.protocol === 'https:', region: process.env.AWS_REGION,
    accessKey: process.env.AWS_ACCESS_KEY_ID, secretKey: process.env.AWS_SECRET_ACCESS_KEY,
});
const door = client();
const all = async (stream) => { const out = []; for await (const piece of stream) out.push(piece); return out; };
const read = async (key) => Buffer.concat(await all(await door.getObject(bucket, key)));
const keys = async (prefix) => (await all(door.listObjectsV2(bucket, prefix, true))).map((item) => item.name);
const code = async (promise) => promise.then(() => 'nothing', (error) => error.code);

run({
    async buckets() {
        await door.makeBucket(bucket);
        equal((await door.listBuckets()).some((one) => one.name === bucket), true);
    },
    async small() {
        await door.putObject(bucket, 'small', SMALL);
        equal(await read('small'), SMALL);
        equal((await door.statObject(bucket, 'small')).size, SMALL.length);
        await door.putObject(bucket, 'empty', Buffer.alloc(0));
        equal(await read('empty'), Buffer.alloc(0));
    },
    async stream() {
        const body = Buffer.alloc(200_000, 'stream');
        await door.putObject(bucket, 'stream', Readable.from([body.subarray(0, 100_000), body.subarray(100_000)]));
        equal(await read('stream'), body);
    },
    async large() {
        const body = large();
        await door.putObject(bucket, 'large', Readable.from([body]));
        equal(digest(await read('large')), digest(body));
    },
    async ranges() { equal(Buffer.concat(await all(await door.getPartialObject(bucket, 'small', 8, 6))), SMALL.subarray(8, 14)); },
    async odd_keys(odd) {
        for (const key of odd) await door.putObject(bucket, 'odd/' + key, key);
        for (const key of odd) equal(String(await read('odd/' + key)), key);
        equal((await keys('odd/')).sort(), odd.map((key) => 'odd/' + key).sort());
    },
    async lists(_, names) {
        for (const key of names) await door.putObject(bucket, key, '1');
        equal(await keys('list/'), names);
        equal((await all(door.listObjectsV2(bucket, 'list/', false))).map((item) => item.prefix), ['list/0/', 'list/1/', 'list/2/']);
    },
    async copies() {
        await door.copyObject(bucket, 'copied/small ü+', `/${bucket}/small`);
        equal(await read('copied/small ü+'), SMALL);
    },
    async metadata() {
        await door.putObject(bucket, 'meta', SMALL, SMALL.length, { 'Content-Type': 'text/csv', colour: 'blue', city: 'Koeln 50%' });
        const { metaData } = await door.statObject(bucket, 'meta');
        equal([metaData['content-type'], metaData.colour, metaData.city], ['text/csv', 'blue', 'Koeln 50%']);
    },
    async tags() {
        await door.setObjectTagging(bucket, 'small', { owner: 'me + you @ home' });
        equal(await door.getObjectTagging(bucket, 'small'), [{ Key: 'owner', Value: 'me + you @ home' }]);
    },
    async missing() { equal(await code(read('nobody/has/this')), 'NoSuchKey'); },
    async deletes() {
        for (const prefix of ['list/', 'odd/']) {
            await door.removeObjects(bucket, await keys(prefix));
            equal(await keys(prefix), []);
        }
    },
    async wrong_key() {
        process.env.AWS_SECRET_ACCESS_KEY = '0'.repeat(40);
        equal(await code(client().getObject(bucket, 'small')), 'SignatureDoesNotMatch');
    },
}, { pages: 'the client chooses the size of its pages', conditional: 'the library has no call for it' });
