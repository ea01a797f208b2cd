// The cases of ws (node) against the test door: node client.js ws://HOST:PORT. A line of JSON for each case.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const WebSocket = require('ws');

const base = process.argv[2];
const open = (path, protocols, options) => new Promise((resolve, reject) => {
  const socket = new WebSocket(base + path, protocols || [], { maxPayload: 64 << 20, ...options });
  socket.queue = [];
  socket.waiting = null;
  socket.on('message', (data, binary) => {
    const message = binary ? data : data.toString();
    if (socket.waiting) { const give = socket.waiting; socket.waiting = null; give(message); } else socket.queue.push(message);
  });
  socket.on('open', () => resolve(socket));
  socket.on('unexpected-response', (request, response) => { reject(Object.assign(new Error('refused'), { status: response.statusCode })); request.destroy(); });
  socket.on('error', reject);
});
const next = (socket) => socket.queue.length ? Promise.resolve(socket.queue.shift()) : new Promise((resolve) => { socket.waiting = resolve; });
const closed = (socket) => new Promise((resolve) => socket.on('close', (code, reason) => resolve([code, reason.toString()])));
const ends = async (socket) => { const end = closed(socket); socket.close(1000, 'done'); assert.deepStrictEqual(await end, [1000, '']); };
// the door answers a close frame with its code and no reason
const echo = async (path, options, sizes) => {
  const socket = await open(path, [], options);
  for (const size of sizes) {
    for (const message of ['ö'.repeat(size / 2), crypto.randomBytes(size)]) {
      socket.send(message);
      assert.deepStrictEqual(await next(socket), message);
    }
  }
  await ends(socket);
  return socket;
};
const sizes = [0, 2, 124, 126, 65534, 65536, 1 << 20];
const deflate = (more) => ({ perMessageDeflate: { threshold: 0, ...more } });

const cases = {
  'echo without compression': () => echo('/ws', { perMessageDeflate: false }, [...sizes, 5 << 20]),
  'echo compressed': async () => assert.match((await echo('/ws', deflate({}), sizes)).extensions, /permessage-deflate/),
  'echo with windows of 9': () => echo('/ws', deflate({ serverMaxWindowBits: 9, clientMaxWindowBits: 9 }), sizes),
  'echo with windows of 15': () => echo('/ws/wide', deflate({ serverMaxWindowBits: 15, clientMaxWindowBits: 15 }), sizes),
  'echo without takeover': () => echo('/ws', deflate({ serverNoContextTakeover: true, clientNoContextTakeover: true }), sizes),
  'echo where the server forgets': () => echo('/ws/forgets', deflate({}), sizes),
  'a window of 8 is declined': async () => assert.strictEqual((await echo('/ws', deflate({ serverMaxWindowBits: 8 }), [2])).extensions, ''),
  'the window is kept': async () => {
    const socket = await open('/ws', [], deflate({}));
    for (let i = 0; i < 100; i++) socket.send('the same words again and again, '.repeat(20));
    for (let i = 0; i < 100; i++) assert.strictEqual((await next(socket)).length, 640);
    await ends(socket);
  },
  'fragments': async () => {
    for (const options of [{ perMessageDeflate: false }, deflate({})]) {
      const socket = await open('/ws', [], options);
      socket.send('one ', { fin: false });
      socket.send('two ', { fin: false });
      socket.send('three', { fin: true });
      assert.strictEqual(await next(socket), 'one two three');
      await ends(socket);
    }
  },
  'pings': async () => {
    const socket = await open('/ws');
    for (let i = 0; i < 10; i++) {
      const pong = new Promise((resolve) => socket.once('pong', resolve));
      socket.ping(`ping ${i}`);
      assert.strictEqual((await pong).toString(), `ping ${i}`);
    }
    await ends(socket);
  },
  'pings of the server are answered': async () => {
    const socket = await open('/ws/quick');
    await new Promise((resolve) => setTimeout(resolve, 1800));
    socket.send('alive');
    assert.strictEqual(await next(socket), 'alive');
    await ends(socket);
  },
  'subprotocol': async () => {
    const socket = await open('/ws', ['echo.tarn', 'x']);
    assert.strictEqual(socket.protocol, 'echo.tarn');
    await ends(socket);
  },
  'close codes': async () => {
    for (const code of [1000, 1001, 1011, 3000, 4999]) {
      const socket = await open('/ws');
      const end = closed(socket);
      socket.close(code, 'why');
      assert.strictEqual((await end)[0], code);
    }
  },
  'the server closes': async () => {
    const socket = await open('/ws/command');
    const end = closed(socket);
    socket.send('close 4003 enough of this');
    assert.deepStrictEqual(await end, [4003, 'enough of this']);
  },
  'too big': async () => {
    const socket = await open('/ws/small', [], { perMessageDeflate: false });
    const end = closed(socket);
    socket.on('error', () => {});
    socket.send(Buffer.alloc((1 << 20) + 1));
    assert.strictEqual((await end)[0], 1009);
  },
  'refused': async () => {
    await assert.rejects(open('/ws/origin', [], { origin: 'https://elsewhere.example' }), { status: 403 });
    await assert.rejects(open('/nowhere'), { status: 404 });
  },
  'a flood': async () => {
    const socket = await open('/ws/command');
    socket.send('flood 500 100000');
    for (let i = 0; i < 500; i++) assert.strictEqual((await next(socket)).length, 100000);
    await ends(socket);
  },
};

(async () => {
  for (const [name, run] of Object.entries(cases)) {
    let error = null;
    try { await run(); } catch (e) { error = e; }
    console.log(JSON.stringify({ name, ok: !error, error: error && String(error.stack).slice(0, 600) }));
  }
  process.exit(0);
})();
