// An app on Node: what it does with a request is in the path, how it listens in the arguments.
'use strict';

const http = require('http');

const [host, port, ...options] = process.argv.slice(2);
const given = Object.fromEntries(options.map((option) => option.split('=')));

const held = [];
const server = http.createServer((request, response) => {
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
});

server.on('connection', () => console.log('connection'));
if (given.keepAliveTimeout) server.keepAliveTimeout = Number(given.keepAliveTimeout);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
server.listen({ host, port: Number(port), backlog: Number(given.backlog || 511) }, () => {
  console.log('listening');
});
