// A name server that does what a test's script says to each question, lies included, and keeps
// record of what it was asked. Knows no zone and no rule.
import Foundation

/// What becomes of one question.
enum Reaction: Sendable {
  case reply(Reply)
  /// These bytes; by TCP with their length before them.
  case bytes([UInt8])
  case silence
  indirect case after(Duration, Reaction)
  case all([Reaction])
  /// By UDP, from another port than the one that was asked.
  case fromElsewhere(Reply)
  /// By TCP: byte by byte, with a pause after each.
  case trickle(Reply, pause: Duration)
  /// By TCP: so many bytes of it, length included, and then the end of the connection.
  case breakOff(Reply, after: Int)
}

final class ScriptedNameServer: Sendable {
  typealias Script = @Sendable (Question) -> Reaction

  let port: UInt16
  let addresses: [Loopback]
  private let reserved: ReservedPort
  private let datagrams: [TCPSocket]
  private let listeners: [TCPSocket]
  private let elsewhere: TCPSocket
  private let script: Shared<Script>
  private let asked = Shared<[Question]>([])
  /// The end of a pipe: closing it ends the thread.
  private let stopper: TCPSocket
  private let work: Background<Void>

  /// Listens on one port of all `addresses`, by UDP and TCP.
  init(on addresses: [Loopback] = [.ipv4], script: @escaping Script) throws {
    self.addresses = addresses
    self.script = Shared(script)
    (reserved, datagrams) = try Self.reserve(addresses)
    port = reserved.number
    let number = port
    listeners = try addresses.map { address in
      let socket = try TCPSocket(family: address)
      try socket.bind(address, port: number)
      try checked("listen", listen(socket.descriptor, 64))
      return socket
    }
    elsewhere = try Self.datagramSocket(addresses[0])
    var ends: [Int32] = [-1, -1]
    try checked("pipe", pipe(&ends))
    stopper = TCPSocket(adopting: ends[1])
    let loop = Loop(
      datagrams: datagrams, listeners: listeners, elsewhere: elsewhere, addresses: addresses,
      stopper: TCPSocket(adopting: ends[0]), script: self.script, asked: asked)
    work = Background("name server") { loop.run() }
  }

  deinit { stop() }

  /// A port that is free by UDP as well: a client of some other name server may be at it.
  private static func reserve(_ addresses: [Loopback]) throws -> (ReservedPort, [TCPSocket]) {
    while true {
      let port = try ReservedPort()
      do {
        let sockets = try addresses.map { try datagramSocket($0) }
        for (socket, address) in zip(sockets, addresses) {
          try socket.bind(address, port: port.number)
        }
        return (port, sockets)
      } catch let failure as Failure where failure.code == EADDRINUSE { continue }
    }
  }

  private static func datagramSocket(_ address: Loopback) throws -> TCPSocket {
    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let number = try checked("socket", socket(address.family, type, 0))
    return TCPSocket(adopting: Int32(number))
  }

  /// Nobody is there any more: the kernel says so to whoever asks.
  func stop() {
    stopper.close()
    _ = try? work.result()
    for socket in datagrams + listeners { socket.close() }
  }

  // MARK: What it was asked

  /// In the order in which they came.
  var questions: [Question] { asked.value }

  func forget() { asked.update { $0 = [] } }

  func waitForQuestions(_ count: Int) throws {
    try eventually("\(count) questions, there are \(questions)") { questions.count >= count }
  }

  /// From here on it does this.
  func change(_ new: @escaping Script) { script.update { $0 = new } }

  /// The daemon's settings that lead here.
  var environment: [String: String] { ["SIDECAR_DNS_PORT": String(port)] }
}

/// The threads of a server: they hold its sockets, not the server.
private final class Loop: Sendable {
  let datagrams: [TCPSocket]
  let listeners: [TCPSocket]
  let elsewhere: TCPSocket
  let addresses: [Loopback]
  let stopper: TCPSocket
  let script: Shared<ScriptedNameServer.Script>
  let asked: Shared<[Question]>

  init(
    datagrams: [TCPSocket], listeners: [TCPSocket], elsewhere: TCPSocket, addresses: [Loopback],
    stopper: TCPSocket, script: Shared<ScriptedNameServer.Script>, asked: Shared<[Question]>
  ) {
    self.datagrams = datagrams
    self.listeners = listeners
    self.elsewhere = elsewhere
    self.addresses = addresses
    self.stopper = stopper
    self.script = script
    self.asked = asked
  }

  func run() {
    let sockets = datagrams + listeners
    while true {
      var hints = sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      hints.append(pollfd(fd: stopper.descriptor, events: Int16(POLLIN), revents: 0))
      guard poll(&hints, nfds_t(hints.count), -1) >= 0 || errno == EINTR else { return }
      if hints.last!.revents != 0 { return }
      for number in sockets.indices where hints[number].revents != 0 {
        let address = addresses[number % addresses.count]
        if number < datagrams.count {
          receive(on: sockets[number], address)
        } else {
          accept(on: sockets[number], address)
        }
      }
    }
  }

  private func take(_ question: Question) -> Reaction {
    asked.update { $0.append(question) }
    return script.value(question)
  }

  // MARK: UDP

  private struct Asker: Sendable {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    var port: UInt16 { UInt16(bigEndian: address.sin6_port) }
  }

  private func receive(on socket: TCPSocket, _ server: Loopback) {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var asker = Asker()
    let count = withUnsafeMutableBytes(of: &asker.address) { raw in
      recvfrom(
        socket.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT),
        raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), &asker.length)
    }
    guard count > 0,
      let question = Question(Array(buffer[..<count]), by: .udp, at: server, from: asker.port)
    else { return }
    perform(take(question), question, asker, socket)
  }

  private func perform(
    _ reaction: Reaction, _ question: Question, _ asker: Asker, _ socket: TCPSocket
  ) {
    switch reaction {
    case .reply(let reply): send(reply.bytes(to: question), to: asker, on: socket)
    case .bytes(let bytes): send(bytes, to: asker, on: socket)
    case .silence: break
    case .after(let span, let reaction):
      _ = Background("a late answer") {
        pause(span)
        self.perform(reaction, question, asker, socket)
      }
    case .all(let reactions):
      for reaction in reactions { perform(reaction, question, asker, socket) }
    case .fromElsewhere(let reply): send(reply.bytes(to: question), to: asker, on: elsewhere)
    case .trickle, .breakOff: fatalError("a datagram comes whole or not at all")
    }
  }

  private func send(_ bytes: [UInt8], to asker: Asker, on socket: TCPSocket) {
    withUnsafeBytes(of: asker.address) { raw in
      let address = raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      _ = sendto(
        socket.descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), address, asker.length)
    }
  }

  // MARK: TCP

  private func accept(on socket: TCPSocket, _ server: Loopback) {
    let descriptor = Glibc.accept(socket.descriptor, nil, nil)
    guard descriptor >= 0, let peer = try? Peer(adopting: TCPSocket(adopting: descriptor)) else {
      return
    }
    _ = Background("name server's connection") { try self.serve(peer, server) }
  }

  /// Until the daemon hangs up, which it is owed to throw here.
  private func serve(_ peer: Peer, _ server: Loopback) throws {
    while true {
      let length = try peer.receive(exactly: 2)
      let message = try peer.receive(exactly: Int(length[0]) << 8 | Int(length[1]))
      guard let question = Question(message, by: .tcp, at: server, from: 0) else { return }
      try perform(take(question), question, peer)
    }
  }

  private func perform(_ reaction: Reaction, _ question: Question, _ peer: Peer) throws {
    switch reaction {
    case .reply(let reply): try peer.send(framed(reply.bytes(to: question)))
    case .bytes(let bytes): try peer.send(framed(bytes))
    case .silence: break
    case .after(let span, let reaction):
      pause(span)
      try perform(reaction, question, peer)
    case .all(let reactions): for reaction in reactions { try perform(reaction, question, peer) }
    case .fromElsewhere: fatalError("a stream has two ends only")
    case .trickle(let reply, let span):
      for byte in framed(reply.bytes(to: question)) {
        try peer.send([byte])
        pause(span)
      }
    case .breakOff(let reply, let count):
      try peer.send(Array(framed(reply.bytes(to: question)).prefix(count)))
      peer.close()
      throw Failure("broken off, as the script says")
    }
  }

  private func framed(_ bytes: [UInt8]) -> [UInt8] { UInt16(bytes.count).bytes + bytes }
}
