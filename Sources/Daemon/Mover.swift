// A turn of an established connection: performs the relay's steps, one system call each, and
// reports what came of them. The hot path: nothing here allocates but a stash, when a peer does not
// read.
import Core
import Linux
import Synchronization

extension Worker {
  func relayTurn(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.relay.beginTurn(rules)
    var hasMoved = false
    while true {
      switch connection.pointee.relay.next(rules, everyByte: phase != .serving) {
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
      case .close(let resetClient, let resetUpstream):
        return close(slot, connection, resetClient: resetClient, resetUpstream: resetUpstream)
      case .yield:
        enqueue(slot, connection)
        return endTurn(slot, connection, hasMoved)
      case .wait, .awaitDelivery: return endTurn(slot, connection, hasMoved)
      }
    }
  }

  private func endTurn(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ hasMoved: Bool
  ) {
    if hasMoved { connection.pointee.lastMoved = now }
    let relay = connection.pointee.relay
    let isEnding = relay.hasFailed || relay.isDelivering
    if isEnding || (hasMoved && !connection.pointee.hasTimer) { armTimer(slot, connection) }
  }

  /// True when bytes moved.
  private func perform(
    _ step: Flow.Step, from source: End, _ connection: UnsafeMutablePointer<Connection>
  ) -> Bool {
    let result: Transfer
    var failing = source
    switch step {
    case .receive(let limit):
      result = receive(from: source, connection, limit)
    case .send(let offset, let count):
      failing = source.other
      result = send(to: failing, connection, buffer + offset, count)
    case .sendStash(let offset, let count):
      failing = source.other
      let stash = withLane(source, connection) { $0.stash! }
      result = send(to: failing, connection, stash + offset, count)
    case .fillPipe(let limit):
      result = fill(from: source, connection, limit)
    case .drainPipe(let count):
      failing = source.other
      result = drain(to: failing, connection, count)
    case .endSending:
      guard endSending(to: source.other, connection) else { return false }
      connection.pointee.relay.record(.done, of: step, from: source, rules)
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
      connection.pointee.relay.record(.moved(count), of: step, from: source, rules)
      if failing != source {
        door.counters.add(
          UInt64(count), to: source == .client ? Count.toTargetBytes : Count.toClientBytes,
          of: connection.pointee.forward)
      }
      if case .sendStash = step { freeEmptyStash(source, connection) }
      return true
    case .ended:
      connection.pointee.relay.record(.ended, of: step, from: source, rules)
    case .wouldBlock:
      connection.pointee.relay.record(.wouldBlock, of: step, from: source, rules)
    case .failed(let error):
      if case .fillPipe = step, error.meansNoSplice {
        rules.transfer = .copy
        connection.pointee.relay.record(.ended, of: step, from: source, rules)
      } else {
        connection.pointee.relay.fail(failing, EndFailure(error))
      }
    }
    return false
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
    _ count: Int
  ) -> Transfer {
    switch end {
    case .client: connection.pointee.client.send(bytes, count: count)
    case .upstream: connection.pointee.upstream.send(bytes, count: count)
    }
  }

  private func fill(
    from end: End, _ connection: UnsafeMutablePointer<Connection>, _ limit: Int
  ) -> Transfer {
    switch end {
    case .client:
      connection.pointee.toUpstream.pipe.fill(from: connection.pointee.client, limit: limit)
    case .upstream:
      connection.pointee.toClient.pipe.fill(from: connection.pointee.upstream, limit: limit)
    }
  }

  private func drain(
    to end: End, _ connection: UnsafeMutablePointer<Connection>, _ count: Int
  ) -> Transfer {
    switch end {
    case .client:
      connection.pointee.toClient.pipe.drain(into: connection.pointee.client, count: count)
    case .upstream:
      connection.pointee.toUpstream.pipe.drain(into: connection.pointee.upstream, count: count)
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
      connection.pointee.relay.fail(end, EndFailure(error))
      return false
    }
  }

  // MARK: Where bytes lie

  @inline(__always)
  private func withLane<Result>(
    _ source: End, _ connection: UnsafeMutablePointer<Connection>,
    _ body: (inout Lane) -> Result
  ) -> Result {
    switch source {
    case .client: body(&connection.pointee.toUpstream)
    case .upstream: body(&connection.pointee.toClient)
    }
  }

  private func arrange(
    _ step: Flow.Step, _ source: End, _ connection: UnsafeMutablePointer<Connection>
  ) {
    guard let outcome = withLane(source, connection, { arrange(step, &$0) }) else {
      return connection.pointee.relay.abort(.error)
    }
    connection.pointee.relay.record(outcome, of: step, from: source, rules)
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
    withLane(source, connection) { $0.freeStash() }
  }

  // MARK: The end

  /// Closes both ends, resets those that must not take this for an orderly end, and says so.
  func close(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, resetClient: Bool,
    resetUpstream: Bool
  ) {
    if resetClient { connection.pointee.client.resetOnClose() }
    if resetUpstream {
      connection.pointee.upstream.resetOnClose()
      connection.pointee.dialing?.resetAttemptsOnClose()
    }
    if logs(.info) {
      let ending = connection.pointee.relay.ending
      let record = ConnectionRecord(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        upstream: connection.pointee.upstreamEndpoint,
        toTargetBytes: connection.pointee.relay.toUpstreamBytes,
        toClientBytes: connection.pointee.relay.toClientBytes,
        connectTime: Nanoseconds(count: Int64(connection.pointee.connectMicroseconds) * 1_000),
        duration: now - connection.pointee.accepted, endedBy: ending.endedBy,
        reason: ending.reason)
      line.connectionEnded(record, target: target(of: connection), at: .now)
      queueLine()
    }
    discard(slot)
  }

  /// Closes what the connection has, and gives its place to the next.
  func discard(_ slot: UInt32) {
    timers.clear(TimerKey.connection(slot))
    let connection = table.pointer(slot)
    door.counters.add(1, to: Count.gone, of: connection.pointee.forward)
    if connection.pointee.phase == .relaying {
      countEstablished(-1, connection)
      countEnded(
        of: connection.pointee.forward, connection.pointee.relay.ending,
        after: now - connection.pointee.accepted)
    }
    table.remove(slot)
    let open = door.open.subtract(1, ordering: .sequentiallyConsistent).newValue
    releaseAndResume()
    if phase != .serving && open == 0 { shared.supervisorWake.signal() }
  }
}

extension Errno {
  /// A sandbox or an emulated kernel refuses splice(2) itself: nothing was moved; copying goes on.
  fileprivate var meansNoSplice: Bool {
    self == .invalid || self == .notImplemented || self == .notPermitted
  }
}
