// A turn of an established connection: performs the relay's steps, one system call each, and
// reports what came of them. The hot path: nothing here allocates but a stash, when a peer does not
// read.
import Core
import Linux
import Synchronization

extension Worker {
  func relayTurn(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    turn = Relay.Turn(rules)
    let toUpstream = passMessage(from: .client, connection)
    let toClient = passMessage(from: .upstream, connection)
    var hasMoved = toUpstream || toClient
    if !connection.pointee.relay.isAtRest {
      switch moveOn(slot, connection, &hasMoved) {
      case .waiting: break
      case .yielding: enqueue(slot, connection)
      case .closed: return
      }
    }
    endTurn(slot, connection, hasMoved)
  }

  /// The common case: a message that one receive and one send pass on. True when bytes moved.
  @inline(__always)
  private func passMessage(
    from source: End, _ connection: UnsafeMutablePointer<Connection>
  ) -> Bool {
    guard connection.pointee.relay.canPass(from: source, rules) else { return false }
    let limit = Int(rules.bufferBytes)
    let received = receive(from: source, connection, limit)
    guard case .moved(let count) = received, count < limit else {
      return record(
        received, of: .receive(limit: limit), from: source, failing: source, connection)
    }
    let sent = send(to: source.other, connection, buffer, count)
    if sent == .moved(count) {
      connection.pointee.relay.passed(count, from: source)
      countMoved(count, from: source, connection)
    } else {
      _ = record(received, of: .receive(limit: limit), from: source, failing: source, connection)
      _ = record(
        sent, of: .send(offset: 0, count: count, endFollows: false), from: source,
        failing: source.other, connection)
    }
    return true
  }

  private enum TurnEnd { case waiting, yielding, closed }

  private func moveOn(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ hasMoved: inout Bool
  ) -> TurnEnd {
    while true {
      switch connection.pointee.relay.next(rules, turn, everyByte: phase != .serving) {
      case .move(let source, let step):
        if perform(step, from: source, connection) { hasMoved = true }
      case .takeError(let end):
        let error =
          end == .client
          ? connection.pointee.client.takeError() : connection.pointee.upstream.takeError()
        connection.pointee.relay.recordError(of: end, error.map { EndFailure($0) })
      case .checkDelivery(let end):
        let count =
          end == .client
          ? connection.pointee.client.unacknowledgedBytes()
          : connection.pointee.upstream.unacknowledgedBytes()
        connection.pointee.relay.recordDelivery(to: end, isComplete: count == 0)
      case .close(let resets):
        close(slot, connection, resets: resets)
        return .closed
      case .yield: return .yielding
      case .wait, .awaitDelivery: return .waiting
      }
    }
  }

  private func endTurn(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ hasMoved: Bool
  ) {
    if hasMoved { connection.pointee.lastMoved = now }
    if connection.pointee.relay.waitsToSend { watchFully(slot, connection) }
    let isEnding =
      connection.pointee.relay.hasFailed || connection.pointee.relay.isDelivering
    if isEnding || (hasMoved && !timers.isSet(TimerKey.connection(slot))) {
      armTimer(slot, connection)
    }
  }

  /// An end that took less than there was is to be told of when it takes bytes again. Most never
  /// do so, and are spared the events that tell of it.
  private func watchFully(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    let client = !connection.pointee.isClientWatchedFully
    let upstream = !connection.pointee.isUpstreamWatchedFully
    do throws(Errno) {
      if client && connection.pointee.relay.waitsToSend(to: .client) {
        try rewatch(
          connection.pointee.client.number, with: door.poller.number, for: .changes,
          token: token(slot, .client))
        connection.pointee.isClientWatchedFully = true
      }
      if upstream && connection.pointee.relay.waitsToSend(to: .upstream) {
        try rewatch(
          connection.pointee.upstream.number, with: door.poller.number, for: .changes,
          token: token(slot, .upstream))
        connection.pointee.isUpstreamWatchedFully = true
      }
    } catch {
      connection.pointee.relay.abort(.error)
      enqueue(slot, connection)
    }
  }

  /// True when bytes moved.
  func perform(
    _ step: Flow.Step, from source: End, _ connection: UnsafeMutablePointer<Connection>
  ) -> Bool {
    let result: Transfer
    var failing = source
    switch step {
    case .receive(let limit):
      result = receive(from: source, connection, limit)
    case .send(let offset, let count, let endFollows):
      failing = source.other
      result = send(to: failing, connection, buffer + offset, count, moreFollows: endFollows)
    case .sendStash(let offset, let count):
      failing = source.other
      let stash = connection.pointee.withLane(source) { $0.stash! }
      result = send(to: failing, connection, stash + offset, count)
    case .fillPipe(let limit):
      result = fill(from: source, connection, limit)
    case .drainPipe(let count):
      failing = source.other
      result = drain(to: failing, connection, count)
    case .endSending:
      let isPartOfClosing = connection.pointee.relay.endsByClosing(
        from: source, everyByte: phase != .serving)
      guard isPartOfClosing || endSending(to: source.other, connection) else { return false }
      if source == .client { unload(connection) }
      connection.pointee.relay.record(.done, of: step, from: source, rules, &turn)
      return false
    case .stash, .borrowPipe, .returnPipe, .discard:
      arrange(step, source, connection)
      return false
    case .wait, .yield: return false
    }
    return record(result, of: step, from: source, failing: failing, connection)
  }

  private func record(
    _ result: Transfer, of step: Flow.Step, from source: End, failing: End,
    _ connection: UnsafeMutablePointer<Connection>
  ) -> Bool {
    switch result {
    case .moved(let count):
      connection.pointee.relay.record(.moved(count), of: step, from: source, rules, &turn)
      // The next read may begin with an urgent byte.
      if case .receive(count) = step, source == .upstream { setUpUpstream(connection) }
      if failing != source { countMoved(count, from: source, connection) }
      if case .sendStash = step { freeEmptyStash(source, connection) }
      return true
    case .ended:
      connection.pointee.relay.record(.ended, of: step, from: source, rules, &turn)
    case .wouldBlock:
      connection.pointee.relay.record(.wouldBlock, of: step, from: source, rules, &turn)
    case .failed(let error):
      if case .fillPipe = step, error.meansNoSplice {
        rules.transfer = .copy
        connection.pointee.relay.record(.ended, of: step, from: source, rules, &turn)
      } else {
        fail(failing, error, connection)
      }
    }
    return false
  }

  @inline(__always)
  func countMoved(_ bytes: Int, from source: End, _ connection: UnsafeMutablePointer<Connection>) {
    door.counters.add(
      UInt64(bytes), to: source == .client ? Count.toTargetBytes : Count.toClientBytes,
      of: connection.pointee.forward)
  }

  // MARK: Single calls

  @inline(__always)
  private func receive(
    from end: End, _ connection: UnsafeMutablePointer<Connection>, _ limit: Int
  ) -> Transfer {
    switch end {
    case .client: connection.pointee.client.receive(into: buffer, limit: limit)
    case .upstream: connection.pointee.upstream.receive(into: buffer, limit: limit)
    }
  }

  @inline(__always)
  private func send(
    to end: End, _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeRawPointer,
    _ count: Int, moreFollows: Bool = false
  ) -> Transfer {
    switch end {
    case .client:
      return connection.pointee.client.send(bytes, count: count, moreFollows: moreFollows)
    case .upstream:
      if !connection.pointee.sendsUpstreamAtOnce { prepareSending(connection) }
      return connection.pointee.upstream.send(bytes, count: count, moreFollows: moreFollows)
    }
  }

  private func prepareSending(_ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.relay.toUpstreamBytes > 0 else { return }
    connection.pointee.upstream.sendAtOnce()
    connection.pointee.sendsUpstreamAtOnce = true
  }

  private func fill(
    from end: End, _ connection: UnsafeMutablePointer<Connection>, _ limit: Int
  ) -> Transfer {
    let aside = connection.pointee.aside!
    return switch end {
    case .client: aside.toUpstream.pipe.fill(from: connection.pointee.client, limit: limit)
    case .upstream: aside.toClient.pipe.fill(from: connection.pointee.upstream, limit: limit)
    }
  }

  private func drain(
    to end: End, _ connection: UnsafeMutablePointer<Connection>, _ count: Int
  ) -> Transfer {
    let aside = connection.pointee.aside!
    switch end {
    case .client:
      return aside.toClient.pipe.drain(into: connection.pointee.client, count: count)
    case .upstream:
      if !connection.pointee.sendsUpstreamAtOnce { prepareSending(connection) }
      return aside.toUpstream.pipe.drain(into: connection.pointee.upstream, count: count)
    }
  }

  private func endSending(to end: End, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
    do throws(Errno) {
      switch end {
      case .client: try connection.pointee.client.endSending()
      case .upstream: try connection.pointee.upstream.endSending()
      }
      return true
    } catch {
      fail(end, error, connection)
      return false
    }
  }

  // MARK: Where bytes lie

  private func arrange(
    _ step: Flow.Step, _ source: End, _ connection: UnsafeMutablePointer<Connection>
  ) {
    if step == .borrowPipe && source == .upstream { setUpUpstream(connection) }
    guard let outcome = connection.pointee.withLane(source, { arrange(step, &$0) }) else {
      return connection.pointee.relay.abort(.error)
    }
    connection.pointee.relay.record(outcome, of: step, from: source, rules, &turn)
  }

  /// Nil when there is no memory.
  private func arrange(_ step: Flow.Step, _ lane: inout Lane) -> Flow.Outcome? {
    switch step {
    case .stash(let offset, let count):
      guard let stash = allocate(bytes: count) else { return nil }
      stash.copyMemory(from: buffer + offset, byteCount: count)
      lane.stash = stash
    case .borrowPipe:
      lane.pipe = pipes.lend()
      if !lane.hasPipe { return .refused }
    case .returnPipe:
      pipes.takeBack(lane.takePipe())
      schedulePipeTrim()
    case .discard:
      lane.freeStash()
      if lane.hasPipe {
        lane.pipe = .none
        pipes.forget()
      }
    case .receive, .send, .sendStash, .fillPipe, .drainPipe, .endSending, .wait, .yield:
      preconditionFailure("a step that makes a call")
    }
    return .done
  }

  private func freeEmptyStash(_ source: End, _ connection: UnsafeMutablePointer<Connection>) {
    guard !connection.pointee.relay.holdsStash(from: source) else { return }
    connection.pointee.withLane(source) { $0.freeStash() }
  }
}

extension Errno {
  /// A sandbox or an emulated kernel refuses splice(2) itself: nothing was moved; copying goes on.
  fileprivate var meansNoSplice: Bool {
    self == .invalid || self == .notImplemented || self == .notPermitted
  }
}
