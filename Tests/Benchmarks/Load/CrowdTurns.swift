// What a crowd's connections do when they are ready: a call or two each.
import Glibc
import Linux

extension Crowd {
  mutating func attend(to member: UnsafeMutablePointer<Member>, _ readiness: Readiness) {
    switch member.pointee.stage {
    case .connecting: greet(member)
    case .greeting: receiveGreeting(member)
    case .leaving: receiveRest(member)
    case .unborn, .gone: break
    case .open:
      switch member.pointee.role {
      case .pingPong where readiness.callsForReading: receiveAnswer(member)
      case .pingPong: sendRequest(member)
      case .download: receiveStream(member)
      case .upload where readiness.callsForReading: receiveNothing(member)
      case .upload: sendStream(member)
      case .idle: receiveNothing(member)
      case .counter: receiveTally(member)
      }
    }
  }

  // MARK: Opening

  mutating func connect(_ member: UnsafeMutablePointer<Member>) {
    let address = loopback(port: member.pointee.role == .counter ? order.target : order.port)
    member.pointee.stage = .connecting
    do throws(Errno) {
      member.pointee.socket = try .stream(for: address)
      member.pointee.socket.sendAtOnce()
      member.pointee.socket.setUp(keepalive)
    } catch {
      return end(member, .refused)
    }
    if case .failed = member.pointee.socket.connect(to: address) { return end(member, .refused) }
    watch(
      member.pointee.socket, with: poller, for: .both, token: member.pointee.index, isNew: true)
    greet(member)
  }

  private mutating func greet(_ member: UnsafeMutablePointer<Member>) {
    switch sendHeader(member) {
    case .moved:
      member.pointee.stage = .greeting
      watch(member.pointee.socket, with: poller, for: .bytes, token: member.pointee.index)
    case .wouldBlock: break
    case .ended, .failed: end(member, .refused)
    }
  }

  @discardableResult
  mutating func sendHeader(_ member: UnsafeMutablePointer<Member>) -> Transfer {
    header(of: member).write(to: scratch)
    return member.pointee.socket.send(scratch, count: Header.length)
  }

  private func header(of member: UnsafeMutablePointer<Member>) -> Header {
    let size = member.pointee.role == .download ? piece : order.size
    return Header(mode: member.pointee.role.mode, size: size, run: number)
  }

  private mutating func receiveGreeting(_ member: UnsafeMutablePointer<Member>) {
    guard let count = receive(member, limit: Header.length) else { return }
    // A forwarder has no reason to part what was sent in one piece of this size.
    guard count == Header.length, Header(at: scratch) == header(of: member) else {
      return end(member, .wrong)
    }
    hasOpened(member)
  }

  // MARK: Working

  mutating func begin(_ member: UnsafeMutablePointer<Member>) {
    switch member.pointee.role {
    case .pingPong: ask(member, at: monotonicNanoseconds())
    case .download: sendHeader(member)
    case .upload:
      watch(member.pointee.socket, with: poller, for: .both, token: member.pointee.index)
    case .idle, .counter: break
    }
  }

  private mutating func ask(_ member: UnsafeMutablePointer<Member>, at now: Int64) {
    member.pointee.askedAt = now
    member.pointee.sent = 0
    sendRequest(member)
  }

  private mutating func sendRequest(_ member: UnsafeMutablePointer<Member>) {
    message.stamp(connection: member.pointee.index, turn: member.pointee.position)
    let wasSent = member.pointee.sent
    let (bytes, rest) = (message.bytes + wasSent, message.size - wasSent)
    switch member.pointee.socket.send(bytes, count: rest) {
    case .moved(let count): member.pointee.sent += count
    case .wouldBlock: break
    case .ended, .failed: return end(member, .reset)
    }
    let isSent = member.pointee.sent == message.size
    // The rest of a message has awaited room until now; or it begins to.
    if !isSent || wasSent > 0 {
      let wanted = isSent ? Wanted.bytes : .both
      watch(member.pointee.socket, with: poller, for: wanted, token: member.pointee.index)
    }
  }

  private mutating func receiveAnswer(_ member: UnsafeMutablePointer<Member>) {
    let before = member.pointee.received
    guard let count = receive(member, limit: message.size - before) else { return }
    message.stamp(connection: member.pointee.index, turn: member.pointee.position)
    if memcmp(scratch, message.bytes + before, count) != 0 { figures.errors.wrong += 1 }
    member.pointee.received += count
    guard member.pointee.received == message.size else { return }
    member.pointee.received = 0
    member.pointee.position += 1
    let now = monotonicNanoseconds()
    figures.latencies.record(nanoseconds: now - member.pointee.askedAt)
    member.pointee.askedAt = 0
    figures.totals.operations += 1
    if order.load != .mixed { figures.totals.bytes += 2 * message.size }
    if isOver { endSending(member) } else { ask(member, at: now) }
  }

  /// Plainly, as an application would: to discard (MSG_TRUNC) would spare this end the copying, but
  /// sees nothing of the bytes, and without a forwarder plain calls move 3 GB/s.
  private mutating func receiveStream(_ member: UnsafeMutablePointer<Member>) {
    guard let count = receive(member, limit: piece) else { return }
    figures.totals.bytes += count
    if pattern.differs(from: scratch, count: count, at: member.pointee.position) {
      figures.errors.wrong += 1
    }
    member.pointee.position += count
    if isOver { endSending(member) }
  }

  private mutating func sendStream(_ member: UnsafeMutablePointer<Member>) {
    let bytes = pattern.at(member.pointee.position)
    switch member.pointee.socket.send(bytes, count: piece) {
    case .moved(let count): member.pointee.position += count
    case .wouldBlock: break
    case .ended, .failed: end(member, .reset)
    }
  }

  private mutating func receiveTally(_ member: UnsafeMutablePointer<Member>) {
    guard let count = receive(member, limit: Tally.length) else { return }
    guard count == Tally.length else { return end(member, .wrong) }
    latestTally = Tally(at: scratch)
  }

  /// From one that is owed nothing.
  private mutating func receiveNothing(_ member: UnsafeMutablePointer<Member>) {
    if receive(member, limit: Header.length) != nil { figures.errors.wrong += 1 }
  }

  /// Into `scratch`; nil when there is nothing, or no more of it.
  private mutating func receive(_ member: UnsafeMutablePointer<Member>, limit: Int) -> Int? {
    switch member.pointee.socket.receive(into: scratch, limit: limit) {
    case .moved(let count): return count
    case .wouldBlock: break
    case .ended: end(member, .closed)
    case .failed: end(member, .reset)
    }
    return nil
  }

  // MARK: Leaving

  mutating func endSending(_ member: UnsafeMutablePointer<Member>) {
    if member.pointee.role == .counter || member.pointee.isOwedSomething { return }
    guard (try? member.pointee.socket.endSending()) != nil else { return end(member, .reset) }
    member.pointee.stage = .leaving
    watch(member.pointee.socket, with: poller, for: .bytes, token: member.pointee.index)
  }

  private mutating func receiveRest(_ member: UnsafeMutablePointer<Member>) {
    switch member.pointee.socket.receive(into: scratch, limit: Pattern.longestPiece) {
    case .moved(let count):
      if member.pointee.role == .download { figures.totals.bytes += count }
    case .wouldBlock: break
    case .ended, .failed: end(member, .inOrder)
    }
  }
}
