// One end of a TCP connection in a test's hands: the client, or what the target accepted. Every
// call blocks, none for longer than `patience`.
import Foundation

/// How a connection ended for the one who reads from it.
enum Ending: Equatable, Sendable {
  case closed
  case reset
}

final class Peer: Sendable {
  let socket: TCPSocket

  init(adopting socket: TCPSocket) throws {
    self.socket = socket
    try socket.limitWaiting(to: Int(patience.components.seconds))
    try socket.set(Int32(TCP_NODELAY), Int32(1), level: Int32(IPPROTO_TCP))
  }

  /// Connects to `port`. `prepare` sets options that must be there before the handshake.
  convenience init(
    connectingTo port: UInt16, over loopback: Loopback = .ipv4,
    prepare: (TCPSocket) throws -> Void = { _ in }
  ) throws {
    let socket = try TCPSocket(family: loopback)
    try self.init(adopting: socket)
    try prepare(socket)
    try socket.connect(loopback, port: port)
  }

  // MARK: Sending

  func send(_ text: String) throws { try send([UInt8](text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { bytes in
      var sent = 0
      while sent < bytes.count {
        sent += try sendSome(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
      }
    }
  }

  func send(_ stream: TestBytes, from start: Int = 0, count: Int) throws {
    var sent = 0
    while sent < count {
      sent += try stream.withPiece(at: start + sent, count: count - sent) { try sendSome($0) }
    }
  }

  /// send(2), returning how much the kernel took.
  private func sendSome(_ bytes: UnsafeRawBufferPointer, flags: Int32 = 0) throws -> Int {
    let sent = Glibc.send(
      socket.descriptor, bytes.baseAddress!, bytes.count, flags | Int32(MSG_NOSIGNAL))
    return try checked("send", sent)
  }

  /// Sends until the connection takes no more for now, and returns how much it took.
  func sendUntilFull(_ stream: TestBytes, from start: Int = 0) throws -> Int {
    var sent = 0
    while true {
      let moved = stream.withPiece(at: start + sent, count: TestBytes.pieceSize) { piece in
        Glibc.send(
          socket.descriptor, piece.baseAddress!, piece.count,
          Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      if moved > 0 {
        sent += moved
      } else if errno == EAGAIN {
        // Full for now is not full: wait whether anything drains within a moment.
        var ready = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&ready, 1, 300) == 0 { return sent }
      } else {
        throw systemFailure("send")
      }
    }
  }

  /// Sends one byte of urgent data (MSG_OOB).
  func sendUrgent(_ byte: UInt8) throws {
    _ = try withUnsafeBytes(of: byte) { try sendSome($0, flags: Int32(MSG_OOB)) }
  }

  /// Waits until the other end's kernel has acknowledged every byte sent (tcp(7), SIOCOUTQ).
  func waitUntilAcknowledged() throws {
    try eventually("all bytes acknowledged") {
      var unacknowledged: Int32 = 0
      try checked("ioctl", ioctl(socket.descriptor, UInt(TIOCOUTQ), &unacknowledged))
      return unacknowledged == 0
    }
  }

  // MARK: Receiving

  private enum Received {
    case bytes(Int)
    case ended(Ending)
  }

  /// recv(2).
  private func receiveSome(_ buffer: UnsafeMutableRawBufferPointer) throws -> Received {
    let count = recv(socket.descriptor, buffer.baseAddress!, buffer.count, 0)
    if count < 0 && errno == ECONNRESET { return .ended(.reset) }
    return try checked("receive", count) == 0 ? .ended(.closed) : .bytes(count)
  }

  func receive(exactly count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = 0
    try bytes.withUnsafeMutableBytes { bytes in
      while received < count {
        switch try receiveSome(UnsafeMutableRawBufferPointer(rebasing: bytes[received...])) {
        case .bytes(let more): received += more
        case .ended(let ending): throw Failure("\(ending) after \(received) of \(count) bytes")
        }
      }
    }
    return bytes
  }

  func expect(_ text: String) throws {
    let received = String(decoding: try receive(exactly: text.utf8.count), as: UTF8.self)
    if received != text { throw Failure("received \(received), not \(text)") }
  }

  /// Receives `count` bytes, which must be those of `stream` from `start` on.
  func expect(_ stream: TestBytes, from start: Int = 0, count: Int) throws {
    let (received, ending) = try receiveAll(of: stream, from: start, atMost: count)
    if let ending { throw Failure("\(ending) after \(received) of \(count) bytes") }
  }

  /// Receives `stream` until it ends or `limit` is reached, checking every byte.
  func receiveAll(
    of stream: TestBytes, from start: Int = 0, atMost limit: Int = .max,
    progress: (Int) -> Void = { _ in }
  ) throws -> (count: Int, ending: Ending?) {
    var received = 0
    let ending: Ending? = try withUnsafeTemporaryAllocation(
      byteCount: TestBytes.pieceSize, alignment: 16
    ) { buffer in
      while received < limit {
        let room = UnsafeMutableRawBufferPointer(
          rebasing: buffer[..<min(buffer.count, limit - received)])
        switch try receiveSome(room) {
        case .bytes(let count):
          let piece = UnsafeRawBufferPointer(rebasing: room[..<count])
          try stream.check(piece, at: start + received)
          received += count
          progress(received)
        case .ended(let ending): return ending
        }
      }
      return nil
    }
    return (received, ending)
  }

  /// Waits for the end, before which no byte may come.
  func expect(_ expected: Ending) throws {
    var byte: UInt8 = 0
    switch try withUnsafeMutableBytes(of: &byte, { try receiveSome($0) }) {
    case .bytes: throw Failure("a byte came where the connection should be \(expected)")
    case .ended(let ending):
      if ending != expected { throw Failure("the connection was \(ending), not \(expected)") }
    }
  }

  /// Waits until the connection is no more, in either direction. For an end that has read the
  /// other's FIN this is the way to see a reset: recv(2) goes on saying 0.
  func waitUntilBroken() throws {
    var hint = pollfd(fd: socket.descriptor, events: 0, revents: 0)
    try eventually("the connection breaks") {
      poll(&hint, 1, 100) == 1 && hint.revents & Int16(POLLERR | POLLHUP) != 0
    }
  }

  // MARK: Ending

  func finishSending() throws {
    try checked("shutdown", shutdown(socket.descriptor, Int32(SHUT_WR)))
  }

  func close() { socket.close() }

  /// From here on the kernel answers nothing for this end: its machine is switched off.
  func vanish() throws { try socket.goSilent() }

  /// Closes with a reset (socket(7), SO_LINGER with a time of 0).
  func reset() throws {
    try socket.set(SO_LINGER, linger(l_onoff: 1, l_linger: 0))
    socket.close()
  }
}
