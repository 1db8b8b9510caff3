// A listener whose clients ask one question each and get one answer: the control socket and the
// metrics page. Few clients, few bytes, little time; knows nothing of what is asked.
import Core
import Linux

/// One client: what it has asked, and what it still has to be sent.
private final class ReplyClient {
  let id: UInt64
  let socket: Socket
  let deadline: Instant
  var question: [UInt8] = []
  var unsent: [UInt8] = []
  var sent = 0
  var hasReply = false
  /// The answer is being put together.
  var isPending = false
  var peerHasEnded = false
  var hasEndedSending = false
  /// Bytes that came after the question, and are thrown away.
  var discarded = 0

  init(_ id: UInt64, _ socket: consuming Socket, deadline: Instant) {
    self.id = id
    self.socket = socket
    self.deadline = deadline
  }
}

final class ReplyServer {
  /// What to do about a question, as far as it has come.
  enum Decision {
    case askForMore
    case reply([UInt8])
    /// `reply` will be called.
    case later
  }

  private let listener: Listener
  private let isLocal: Bool
  private let firstToken: UInt64
  private let poller: Int32
  private var clients: [ReplyClient?]
  private let time: Nanoseconds
  private var isListening = false
  /// After a shortage of descriptors: when to listen again.
  private var listensAgain: Instant?
  /// For a client that comes when connections have taken all others: it is then that people ask.
  private var spare = Descriptor.none
  private var lastID: UInt64 = 0
  private let buffer: UnsafeMutableRawPointer

  private static let bufferBytes = 4_096
  /// What a client may send after its question before it is cut off.
  private static let maxDiscarded = 64 * 1_024
  /// A flood of clients must not keep the thread from its other work.
  private static let acceptsAtOnce = 32
  private static let pauseTime = Nanoseconds.milliseconds(100)

  /// Whether a client that has connected may ask; and, by its number, what to do about what it
  /// asks.
  private let admits: (borrowing Socket) -> Bool
  private let decide: (UInt64, [UInt8]) -> Decision

  /// `firstToken` is the listener's; those that follow are its clients', `maxClients` of them. A
  /// client that is not done after `time` is cut off.
  init(
    _ listener: Listener, isLocal: Bool, firstToken: UInt64, poller: Int32,
    maxClients: Int, time: Nanoseconds, admits: @escaping (borrowing Socket) -> Bool,
    decide: @escaping (UInt64, [UInt8]) -> Decision
  ) throws(Errno) {
    self.listener = listener
    self.isLocal = isLocal
    self.firstToken = firstToken
    self.poller = poller
    self.time = time
    self.admits = admits
    self.decide = decide
    clients = Array(repeating: nil, count: maxClients)
    buffer = .allocate(byteCount: Self.bufferBytes, alignment: 16)
    spare = try .spare()
    try listen()
  }

  deinit { buffer.deallocate() }

  private func listen() throws(Errno) {
    guard !isListening else { return }
    try watch(listener.socket.number, with: poller, for: .reading, token: firstToken)
    isListening = true
  }

  private func pause() {
    if isListening { unwatch(listener.socket.number, with: poller) }
    isListening = false
  }

  /// When the next client's time is over.
  var deadline: Instant? {
    var earliest = listensAgain
    for client in clients {
      if let deadline = client?.deadline { earliest = min(earliest ?? deadline, deadline) }
    }
    return earliest
  }

  func owns(_ token: UInt64) -> Bool {
    firstToken <= token && token <= firstToken + UInt64(clients.count)
  }

  func handle(_ token: UInt64, now: Instant) {
    guard token > firstToken else { return accept(now) }
    proceed(Int(token - firstToken) - 1)
  }

  func expire(now: Instant) {
    for index in clients.indices {
      if let client = clients[index], client.deadline <= now { remove(index) }
    }
    if spare.number < 0 { do throws(Errno) { spare = try .spare() } catch {} }
    guard let again = listensAgain, again <= now else { return }
    resume()
    listensAgain = spare.number < 0 || !isListening ? now + Self.pauseTime : nil
  }

  /// The answer to a client that was to get it later, if it still waits.
  func reply(_ id: UInt64, _ bytes: [UInt8]) {
    guard let index = clients.firstIndex(where: { $0?.id == id }), let client = clients[index],
      !client.hasReply
    else { return }
    client.hasReply = true
    client.unsent = bytes
    proceed(index)
  }

  // MARK: Clients

  private func accept(_ now: Instant) {
    for _ in 0..<Self.acceptsAtOnce {
      do throws(Errno) {
        guard let socket = try next() else { return }
        guard admits(socket) else { continue }
        lastID += 1
        let client = ReplyClient(lastID, socket, deadline: now + time)
        let place = freePlace()
        try watch(
          client.socket.number, with: poller, for: .changes,
          token: firstToken + 1 + UInt64(place))
        clients[place] = client
      } catch {
        // Out of descriptors: whoever waits is still there in a moment.
        pause()
        listensAgain = now + Self.pauseTime
        return
      }
    }
  }

  /// A client that holds its place for long without a question must not keep others out.
  private func freePlace() -> Int {
    if let free = clients.firstIndex(where: { $0 == nil }) { return free }
    var oldest = 0
    for index in clients.indices where clients[index]!.id < clients[oldest]!.id { oldest = index }
    clients[oldest] = nil
    return oldest
  }

  private func next() throws(Errno) -> Socket? {
    do throws(Errno) {
      return try acceptOne()
    } catch {
      guard spare.number >= 0, Failure(error).isShortage else { throw error }
      spare = .none
      return try acceptOne()
    }
  }

  private func acceptOne() throws(Errno) -> Socket? {
    guard isLocal else {
      return try listener.socket.accept().map { Socket(owning: $0.number) }
    }
    return try listener.socket.acceptLocal()
  }

  private func remove(_ index: Int) {
    clients[index] = nil
    if listensAgain == nil { resume() }
  }

  private func resume() { do throws(Errno) { try listen() } catch {} }

  private func proceed(_ index: Int) {
    guard let client = clients[index] else { return }
    if !receive(index, client) { return remove(index) }
    guard client.hasReply else { return }
    while client.sent < client.unsent.count {
      var result = Transfer.wouldBlock
      client.unsent.withUnsafeBytes {
        result = client.socket.send($0.baseAddress! + client.sent, count: $0.count - client.sent)
      }
      switch result {
      case .moved(let count): client.sent += count
      case .wouldBlock: return
      case .ended, .failed: return remove(index)
      }
    }
    guard !client.peerHasEnded else { return remove(index) }
    guard !client.hasEndedSending else { return }
    client.hasEndedSending = true
    // Closing with unread bytes would be a reset, and might take the answer away again.
    do throws(Errno) { try client.socket.endSending() } catch { remove(index) }
  }

  /// False when the client is gone, or is to go.
  private func receive(_ index: Int, _ client: ReplyClient) -> Bool {
    while true {
      switch client.socket.receive(into: buffer, limit: Self.bufferBytes) {
      case .wouldBlock: return true
      case .ended:
        // One that asks and then ends its stream still reads.
        client.peerHasEnded = true
        return client.hasReply || client.isPending
      case .failed: return false
      case .moved(let count):
        guard !client.hasReply, !client.isPending else {
          client.discarded += count
          if client.discarded > Self.maxDiscarded { return false }
          continue
        }
        client.question += UnsafeRawBufferPointer(start: buffer, count: count)
        switch decide(client.id, client.question) {
        case .askForMore: continue
        case .later: client.isPending = true
        case .reply(let answer):
          client.hasReply = true
          client.unsent = answer
        }
      }
    }
  }
}
