// The proxy loads this first: what its library and Node.js do not do.
const net = require("net");
const http = require("http");
const { Duplex } = require("stream");

// The public port is handed down open, and held while this process is dead; only that one is a number
// here.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (where, ...more) {
  if (typeof where !== "number") return listen.call(this, where, ...more);
  return listen.call(this, { fd: Number(process.env.REIMPL_PUBLIC) });
};

// At the end of a request Node.js writes nothing to the socket; where that is a file, and the server
// has answered and gone, nothing is one write too many (nodejs/node#40553), and the proxy gives up a
// request that went well.
const write = net.Socket.prototype._write;
net.Socket.prototype._write = function (chunk, encoding, done) {
  if (chunk.length) write.call(this, chunk, encoding, done);
  else process.nextTick(done);
};

// http-proxy-3 writes on when a browser reads no more what a server answers to an upgrade, until all
// memory is used.
const MOST = 2 ** 24; // bytes that wait to be read
net.Socket.prototype.write = function (...chunk) {
  const more = Duplex.prototype.write.apply(this, chunk);
  if (this.writableLength > MOST) this.destroy();
  return more;
};

// It also takes the length from these, so that their body would be read as the next request.
const BARE = ["DELETE", "OPTIONS"];
const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, answer) {
  if (event !== "request" || !BARE.includes(request.method) || !request.headers["transfer-encoding"])
    return emit.apply(this, arguments);
  answer.writeHead(501, { connection: "close" }).end();
  return true;
};
