// The machine behind the forwarder: a listening socket whose connections the test takes one by one,
// or has served by a script.
import Foundation

final class Target: Sendable {
  private let socket: TCPSocket
  let port: UInt16

  /// `prepare` sets options that accepted connections inherit or that shape the handshake.
  init(
    on loopback: Loopback = .ipv4, port: UInt16 = 0,
    prepare: (TCPSocket) throws -> Void = { _ in }
  ) throws {
    socket = try TCPSocket(family: loopback)
    try socket.limitWaiting(to: Int(patience.components.seconds))
    try prepare(socket)
    try socket.bind(loopback, port: port)
    try checked("listen", listen(socket.descriptor, 1024))
    self.port = socket.localPort
  }

  /// The next connection.
  func accept() throws -> Peer {
    let descriptor = try checked("accept", Glibc.accept(socket.descriptor, nil, nil))
    return try Peer(adopting: TCPSocket(adopting: Int32(descriptor)))
  }

  /// Whether a connection waits to be accepted at this moment.
  var isBeingCalled: Bool {
    var ready = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&ready, 1, 0) == 1
  }

  /// From here on packets to the target are dropped; nothing answers, as if it were switched off.
  func goSilent() throws { try socket.goSilent() }
  func endSilence() throws { try socket.endSilence() }

  func close() { socket.close() }

  /// Accepts `count` connections and has each served by `script` on a thread of its own.
  func serve(
    _ count: Int, with script: @escaping @Sendable (Peer) throws -> Void
  ) -> Background<Void> {
    Background("target") { [self] in
      let sessions = try (0..<count).map { number in
        let peer = try accept()
        return Background("target's connection \(number)") { try script(peer) }
      }
      for session in sessions { try session.result() }
    }
  }
}
