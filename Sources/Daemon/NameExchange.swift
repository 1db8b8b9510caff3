// One question on its way to one name server, by UDP or TCP: its socket, and the bytes of an answer
// that comes in pieces. Knows nothing of what the bytes say.
import Core
import Linux

final class NameExchange {
  enum Progress {
    case message([UInt8])
    case wait
    case failed(ServerWord)
  }

  let socket: Socket
  private let transport: Lookup.Transport
  private let server: Endpoint
  /// By TCP: what is not sent yet.
  private var unsent: [UInt8]
  private var isConnected = false
  /// By TCP: the length in two octets, and what there is of the message.
  private var received: [UInt8] = []
  private var buffer: [UInt8]

  /// Sends the question, or begins to.
  /// - Throws: what kept it from being sent; by TCP, what kept the socket from being made.
  init(
    server: Endpoint, _ transport: Lookup.Transport, _ message: [UInt8]
  ) throws(Errno) {
    self.server = server
    self.transport = transport
    switch transport {
    case .datagram:
      socket = try Socket.datagrams(with: SocketAddress(server))
      unsent = []
      // Four times what is asked for: longer is cut off, and then cannot be read.
      buffer = [UInt8](repeating: 0, count: 4 * Int(DNSQuestion.datagramBytes))
      try sendAgain(message)
    case .stream:
      socket = try Socket.stream(for: SocketAddress(server))
      unsent = message
      buffer = [UInt8](repeating: 0, count: 4096)
      if case .failed(let error) = socket.connect(to: SocketAddress(server)) { throw error }
    }
  }

  /// By UDP: the question once more.
  func sendAgain(_ message: [UInt8]) throws(Errno) {
    var result = Transfer.wouldBlock
    message.withUnsafeBytes { result = socket.send($0.baseAddress!, count: $0.count) }
    // A full buffer loses the datagram as any router would: it is sent again in its time.
    if case .failed(let error) = result { throw error }
  }

  /// After an event: the next message, until there is nothing more to do.
  func proceed() -> Progress {
    switch transport {
    case .datagram: receiveDatagram()
    case .stream: isConnected ? proceedOnStream() : connect()
    }
  }

  private func receive() -> Transfer {
    buffer.withUnsafeMutableBytes { socket.receive(into: $0.baseAddress!, limit: $0.count) }
  }

  private func receiveDatagram() -> Progress {
    switch receive() {
    case .moved(let count): .message(Array(buffer[..<count]))
    case .ended: .message([])  // an empty datagram
    case .wouldBlock: .wait
    case .failed: .failed(.unreachable)
    }
  }

  private func connect() -> Progress {
    switch socket.connect(to: SocketAddress(server)) {
    case .inProgress: return .wait
    case .failed: return .failed(.unreachable)
    case .connected:
      isConnected = true
      return proceedOnStream()
    }
  }

  private func proceedOnStream() -> Progress {
    while !unsent.isEmpty {
      var result = Transfer.wouldBlock
      unsent.withUnsafeBytes { result = socket.send($0.baseAddress!, count: $0.count) }
      switch result {
      case .moved(let count): unsent.removeFirst(count)
      case .wouldBlock: return .wait
      case .ended, .failed: return .failed(.brokenOff)
      }
    }
    while true {
      if let message = takeMessage() { return .message(message) }
      switch receive() {
      case .moved(let count): received += buffer[..<count]
      case .wouldBlock: return .wait
      case .ended, .failed: return .failed(.brokenOff)
      }
    }
  }

  /// At most 65,535 bytes, as their length has two octets (RFC 1035, section 4.2.2).
  private func takeMessage() -> [UInt8]? {
    guard received.count >= 2 else { return nil }
    let length = Int(received[0]) << 8 | Int(received[1])
    guard received.count >= 2 + length else { return nil }
    let message = Array(received[2..<2 + length])
    received.removeFirst(2 + length)
    return message
  }
}
