// The proxy loads this first. At the end of a request Node.js writes nothing to the socket; where that
// is a file, and the server has answered and gone, nothing is one write too many (nodejs/node#40553),
// and the proxy gives up a request that went well.
const { Socket } = require("net");

const write = Socket.prototype._write;
Socket.prototype._write = function (chunk, encoding, done) {
  if (chunk.length) write.call(this, chunk, encoding, done);
  else process.nextTick(done);
};
