// An app on Node: what it does with a request is in the path, how it listens in the arguments.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');

const [host, port, ...options] = process.argv.slice(2);
const given = Object.fromEntries(options.map((option) => option.split('=')));

const held = [];
const serve = (request, response) => {
  console.log(`request ${request.url}`);
  const [, what, much] = request.url.split('/');
  switch (what) {
    case 'hang':
      return;
    case 'slow':
      setTimeout(() => response.end('ok\n'), Number(much));
      return;
    case 'crash':
      process.abort();
      return;
    case 'exit':
      process.exit(Number(much));
      return;
    case 'close':
      request.socket.destroy();
      return;
    case 'reset':
      request.socket.resetAndDestroy();
      return;
    case 'fill':
      for (;;) held.push(Buffer.alloc(8 << 20, 1));
    default:
      response.end('ok\n');
  }
};
const server = given.key
  ? https.createServer({ key: fs.readFileSync(given.key), cert: fs.readFileSync(given.certificate) }, serve)
  : http.createServer(serve);

server.on('connection', () => console.log('connection'));
if (given.keepAliveTimeout) server.keepAliveTimeout = Number(given.keepAliveTimeout);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
server.listen({ host, port: Number(port), backlog: Number(given.backlog || 511) }, () => {
  console.log('listening');
});
