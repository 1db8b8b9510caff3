// The far end of every case: one thread, one epoll loop, and clients that say in their header what
// they want.
import Glibc
import Linux

struct Server: ~Copyable {
  private let poller: Poller
  private let listener: Socket
  private let signals: SignalQueue
  /// By descriptor number.
  private let clients: UnsafeMutablePointer<Client>
  private let limit: Int
  private let pattern = Pattern()
  private let scratch = UnsafeMutableRawPointer.allocate(
    byteCount: Pattern.longestPiece, alignment: 4096)
  /// The run whose sinks are counted, and what they have received.
  private var counted: UInt32 = 0
  private var tally = Tally(nanoseconds: 0, bytes: 0, wrong: 0)
  private var greeters = 0

  init(port: UInt16) throws(Errno) {
    let limit = min(try raiseDescriptorLimit(), 1 << 20)
    let signals = try SignalQueue()
    let poller = try Poller()
    let address = loopback(port: port)
    let listener = try Socket.listening(on: address, port: port, keepalive: keepalive)
    for number in [listener.number, signals.descriptor.number] {
      try watch(number, with: poller.number, for: .reading, token: UInt64(number))
    }
    self.limit = limit
    self.signals = signals
    self.poller = poller
    self.listener = listener
    clients = .allocate(capacity: limit)
  }

  deinit {
    clients.deallocate()
    scratch.deallocate()
  }

  /// Until SIGTERM or SIGINT.
  mutating func run() {
    while true {
      for index in 0..<poller.wait(milliseconds: -1) {
        let event = poller.event(index)
        switch Int32(truncatingIfNeeded: event.token) {
        case listener.number: accept()
        case signals.descriptor.number: return
        case let number: attend(to: Int(number), event.readiness)
        }
      }
    }
  }

  private mutating func accept() {
    do throws(Errno) {
      guard let accepted = try listener.accept() else { return }
      let number = Int(accepted.number)
      precondition(number < limit)
      (clients + number).initialize(to: Client(Socket(owning: accepted.number)))
      if greeters > 0 { return greet(number) }
      // A request that is here already is answered without ever being watched.
      if readHeader(clients + number) {
        watch(clients[number].socket, with: poller, for: .bytes, token: number, isNew: true)
      } else {
        close(number)
      }
    } catch {
      // The client gave up, or descriptors ran out: those that have one go on.
      usleep(1000)
    }
  }

  private mutating func greet(_ number: Int) {
    clients[number].stage = .greeted
    if case .moved = clients[number].socket.send(pattern.at(0), count: Header.length) {
      watch(clients[number].socket, with: poller, for: .bytes, token: number, isNew: true)
    } else {
      close(number)
    }
  }

  private mutating func close(_ number: Int) {
    if clients[number].stage == .greeter { greeters -= 1 }
    (clients + number).deinitialize(count: 1)
  }

  private mutating func attend(to number: Int, _ readiness: Readiness) {
    let client = clients + number
    let stays =
      switch client.pointee.stage {
      case .message: readMessage(client)
      case .reply: sendBack(client)
      case .sink: sink(client)
      case .stream: readiness.callsForReading ? readOn(client) : stream(client)
      case .header: readHeader(client)
      case .held, .tally, .greeter, .greeted: readOn(client)
      }
    if !stays { close(number) }
  }

  // MARK: Turns. Each makes one call or two, and tells whether the connection goes on.

  private mutating func readHeader(_ client: UnsafeMutablePointer<Client>) -> Bool {
    let place = client.pointee.stash ?? scratch
    let received = client.pointee.received
    // A request may come with its header; a header that came in pieces has room for itself alone.
    let limit = client.pointee.stash == nil ? 4096 : Header.length - received
    switch client.pointee.socket.receive(into: place + received, limit: limit) {
    case .moved(let count):
      client.pointee.received += count
      guard client.pointee.received >= Header.length else {
        client.pointee.keep(place)
        return true
      }
      guard let header = Header(at: place) else { return false }
      return begin(client, header, place)
    case .wouldBlock: return true
    case .ended, .failed: return false
    }
  }

  private mutating func begin(
    _ client: UnsafeMutablePointer<Client>, _ header: Header, _ place: UnsafeMutableRawPointer
  ) -> Bool {
    client.pointee.size = header.size
    client.pointee.run = header.run
    if header.mode == .answer {
      scratch.copyMemory(from: place, byteCount: client.pointee.received)
      client.pointee.dropStash()
      client.pointee.closesAfterReply = true
      client.pointee.stage = .message
      return goOn(client, scratch)
    }
    guard client.pointee.received == Header.length else { return false }
    client.pointee.received = 0
    switch header.mode {
    case .echo, .answer: client.pointee.stage = .message
    case .source: client.pointee.stage = .held
    case .sink: client.pointee.stage = .sink
    case .count:
      client.pointee.stage = .tally
      counted = header.run
      tally = Tally(nanoseconds: 0, bytes: 0, wrong: 0)
    case .greet:
      client.pointee.stage = .greeter
      greeters += 1
    }
    let sent = client.pointee.socket.send(place, count: Header.length)
    client.pointee.dropStash()
    return sent == .moved(Header.length)
  }

  private mutating func readMessage(_ client: UnsafeMutablePointer<Client>) -> Bool {
    let place = client.pointee.stash ?? scratch
    let received = client.pointee.received
    let rest = client.pointee.size - received
    switch client.pointee.socket.receive(into: place + received, limit: rest) {
    case .moved(let count):
      client.pointee.received += count
      return goOn(client, place)
    case .wouldBlock: return true
    case .ended, .failed: return false
    }
  }

  /// With a message that `place` holds so far.
  private func goOn(_ client: UnsafeMutablePointer<Client>, _ place: UnsafeMutableRawPointer)
    -> Bool
  {
    let missing = client.pointee.size - client.pointee.received
    if missing > 0 { client.pointee.keep(place) }
    return missing == 0 ? sendBack(client) : missing > 0
  }

  private func sendBack(_ client: UnsafeMutablePointer<Client>) -> Bool {
    let place = client.pointee.stash ?? scratch
    let (sent, size) = (client.pointee.sent, client.pointee.size)
    switch client.pointee.socket.send(place + sent, count: size - sent) {
    case .moved(let count): client.pointee.sent += count
    case .wouldBlock: break
    case .ended, .failed: return false
    }
    guard client.pointee.sent == size else {
      client.pointee.keep(place)
      return turn(client, to: .reply, awaiting: .room)
    }
    (client.pointee.received, client.pointee.sent) = (0, 0)
    if client.pointee.closesAfterReply { return false }
    return turn(client, to: .message, awaiting: .bytes)
  }

  private func turn(
    _ client: UnsafeMutablePointer<Client>, to stage: Client.Stage, awaiting wanted: Wanted
  ) -> Bool {
    guard client.pointee.stage != stage else { return true }
    client.pointee.stage = stage
    watch(client.pointee.socket, with: poller, for: wanted, token: client - clients)
    return true
  }

  private mutating func sink(_ client: UnsafeMutablePointer<Client>) -> Bool {
    switch client.pointee.socket.receive(into: scratch, limit: client.pointee.size) {
    case .moved(let count):
      if client.pointee.run == counted {
        tally.bytes += count
        let differs = pattern.differs(from: scratch, count: count, at: client.pointee.position)
        if differs { tally.wrong += 1 }
      }
      client.pointee.position += count
      return true
    case .wouldBlock: return true
    case .ended, .failed: return false
    }
  }

  private func stream(_ client: UnsafeMutablePointer<Client>) -> Bool {
    let bytes = pattern.at(client.pointee.position)
    switch client.pointee.socket.send(bytes, count: client.pointee.size) {
    case .moved(let count):
      client.pointee.position += count
      return true
    case .wouldBlock: return true
    case .ended, .failed: return false
    }
  }

  /// Of those who have said what they want: another header, or the end.
  private mutating func readOn(_ client: UnsafeMutablePointer<Client>) -> Bool {
    switch client.pointee.socket.receive(into: scratch, limit: Header.length) {
    case .moved:
      if client.pointee.stage == .held {
        return turn(client, to: .stream, awaiting: .both)
      }
      guard client.pointee.stage == .tally else { return true }
      tally.nanoseconds = monotonicNanoseconds()
      tally.write(to: scratch)
      return client.pointee.socket.send(scratch, count: Tally.length) == .moved(Tally.length)
    case .wouldBlock: return true
    case .ended, .failed: return false
    }
  }
}
