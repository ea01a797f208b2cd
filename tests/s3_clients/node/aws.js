/* The script of tests/s3_clients with AWS's SDK for JavaScript v3: aws.js END-POINT BUCKET. Keys and region are in the environment. */
const { Readable } = require('node:stream');
const s3 = require('@aws-sdk/client-s3');
const { Upload } = require('@aws-sdk/lib-storage');
const { SMALL, large, equal, run, digest } = require('./exchanges.js');

const [endpoint, Bucket] = process.argv.slice(2);
const client = () => new s3.S3Client({ endpoint, forcePathStyle: true });
const door = client();
const send = (Command, more) => door.send(new s3[Command]({ Bucket, ...more }));
const read = async (Key, more = {}) => Buffer.from(await (await send('GetObjectCommand', { Key, ...more })).Body.transformToByteArray());
const put = (Key, Body, more = {}) => send('PutObjectCommand', { Key, Body, ...more });
const name = async (promise) => promise.then(() => 'nothing', (error) => error.name);

async function keys(Prefix) {
    const out = [];
    for await (const page of s3.paginateListObjectsV2({ client: door }, { Bucket, Prefix }))
        out.push(...(page.Contents || []).map((item) => item.Key));
    return out;
}

run({
    async buckets() {
        await send('CreateBucketCommand');
        equal((await door.send(new s3.ListBucketsCommand({}))).Buckets.some((bucket) => bucket.Name === Bucket), true);
    },
    async small() {
        await put('small', SMALL);
        equal(await read('small'), SMALL);
        equal((await send('HeadObjectCommand', { Key: 'small' })).ContentLength, SMALL.length);
        await put('empty', Buffer.alloc(0));
        equal(await read('empty'), Buffer.alloc(0));
    },
    async stream() {
        const body = Buffer.alloc(200_000, 'stream');
        await put('stream', Readable.from([body.subarray(0, 100_000), body.subarray(100_000)]), { ContentLength: body.length });
        equal(await read('stream'), body);
    },
    async large() {
        const body = large();
        await new Upload({ client: door, params: { Bucket, Key: 'large', Body: body } }).done();
        equal(digest(await read('large')), digest(body));
    },
    async ranges() { equal(await read('small', { Range: 'bytes=8-13' }), SMALL.subarray(8, 14)); },
    async odd_keys(odd) {
        for (const key of odd) await put('odd/' + key, key);
        for (const key of odd) equal(String(await read('odd/' + key)), key);
        equal((await keys('odd/')).sort(), odd.map((key) => 'odd/' + key).sort());
    },
    async lists(_, names) {
        for (const key of names) await put(key, '1');
        const page = await send('ListObjectsV2Command', { Prefix: 'list/', Delimiter: '/' });
        equal(page.CommonPrefixes.map((item) => item.Prefix), ['list/0/', 'list/1/', 'list/2/']);
    },
    async pages() {
        const sizes = [];
        for await (const page of s3.paginateListObjectsV2({ client: door, pageSize: 10 }, { Bucket, Prefix: 'list/' }))
            sizes.push(page.Contents.length);
        equal(sizes, [10, 10, 5]);
    },
    async copies() {
        await send('CopyObjectCommand', { Key: 'copied/small ü+', CopySource: `${Bucket}/small` });
        equal(await read('copied/small ü+'), SMALL);
    },
    async metadata() {
        await put('meta', SMALL, { ContentType: 'text/csv', Metadata: { colour: 'blue', city: 'Koeln 50%' } });
        const head = await send('HeadObjectCommand', { Key: 'meta' });
        equal([head.ContentType, head.Metadata], ['text/csv', { colour: 'blue', city: 'Koeln 50%' }]);
    },
    async tags() {
        const TagSet = [{ Key: 'owner', Value: 'me + you @ home' }];
        await send('PutObjectTaggingCommand', { Key: 'small', Tagging: { TagSet } });
        equal((await send('GetObjectTaggingCommand', { Key: 'small' })).TagSet, TagSet);
    },
    async conditional() {
        await put('once', 'first', { IfNoneMatch: '*' });
        equal(await name(put('once', 'second', { IfNoneMatch: '*' })), 'PreconditionFailed');
        equal(String(await read('once')), 'first');
    },
    async missing() { equal(await name(read('nobody/has/this')), 'NoSuchKey'); },
    async deletes() {
        for (const prefix of ['list/', 'odd/']) {
            const Objects = (await keys(prefix)).map((Key) => ({ Key }));
            equal((await send('DeleteObjectsCommand', { Delete: { Objects } })).Errors || [], []);
            equal(await keys(prefix), []);
        }
    },
    async wrong_key() {
        process.env.AWS_SECRET_ACCESS_KEY = '0'.repeat(40);
        equal(await name(client().send(new s3.GetObjectCommand({ Bucket, Key: 'small' }))), 'SignatureDoesNotMatch');
    },
});
