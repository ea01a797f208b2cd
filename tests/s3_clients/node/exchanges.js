/* What the JavaScript clients share: bodies, keys, checks and the lines that the test reads. */
const assert = require('node:assert');
const crypto = require('node:crypto');

const SMALL = Buffer.from('bronze, silver, gold\n');
const ODD = ['a b', 'ü ß/日本', 'p+q', 'a//b', '100%25 & ?x=1;y#z', "dots.. and ~*'()!"];
const NAMES = Array.from({ length: 25 }, (_, n) => `list/${Math.floor(n / 10)}/${String(n).padStart(3, '0')}`);

async function run(exchanges, cannot = {}) {
    for (const [name, call] of Object.entries(exchanges)) {
        try {
            await call(ODD, NAMES);
            console.log(`ok ${name}`);
        } catch (error) {
            console.log(`FAIL ${name}: ${String(error).slice(0, 400).replaceAll('\n', ' ')}`);
        }
    }
    for (const [name, why] of Object.entries(cannot)) console.log(`skip ${name}: ${why}`);
    process.exit(0);
}

module.exports = {
    SMALL, run,
    large: () => crypto.createHash('shake256', { outputLength: 20 << 20 }).update('7').digest(),
    digest: (body) => crypto.createHash('sha256').update(body).digest('hex'),
    equal: assert.deepStrictEqual,
};
