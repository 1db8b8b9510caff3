// Taking clients from the listeners: in small batches, evenly over the workers, and paused at a
// limit instead of dropping anybody.
import Core
import Linux
import Synchronization

/// Whether a worker takes clients at the moment, and how many at once.
struct Accepting: ~Copyable {
  enum State {
    case watching
    /// Out of descriptors or memory: until the timer.
    case pausedForShortage
    /// At MAX_CONNECTIONS: until a connection of this worker ends.
    case pausedForLimit
    case left
  }

  var state = State.watching
  /// Grows while the listener still has clients after a batch, so that a lone client costs one
  /// call.
  var batch = 1
  /// Kept free for a client that was accepted with the last descriptor and still needs one towards
  /// the target: without it such clients would wait for each other.
  var spare = Descriptor.none
  var saysShortageAgain = Instant(nanoseconds: .min)
  var saysLimitAgain = Instant(nanoseconds: .min)

  static let maxBatch = 16
  /// net.core.somaxconn, as it is by default since Linux 5.4.
  static let maxBacklog = 4096
  /// Long enough not to spin, short enough not to be felt.
  static let pause = Nanoseconds.milliseconds(100)
  /// How often a limit that is reached again and again is said.
  static let sayInterval = Nanoseconds.seconds(10)
}

extension Worker {
  /// Begins to watch every listener.
  func listen() throws(Errno) {
    try acquireSpare()
    for index in shared.listeners.indices {
      try watch(
        shared.listeners[index].socket.number, with: door.poller.number, for: .accepting,
        token: Token.listener(index).bits)
    }
  }

  func acceptFrom(_ listener: Listener) {
    for _ in 0..<accepting.batch where accepting.state == .watching {
      guard acceptOne(listener) else {
        accepting.batch = 1
        return
      }
    }
    accepting.batch = min(accepting.batch * 2, Accepting.maxBatch)
  }

  /// False when nobody waits or nobody can be taken.
  private func acceptOne(_ listener: Listener) -> Bool {
    guard shared.reservePlace() else {
      pauseForLimit()
      return false
    }
    do throws(Errno) {
      guard let accepted = try listener.socket.accept() else {
        shared.releasePlace()
        return false
      }
      place(accepted, listener.forward)
      return true
    } catch {
      shared.releasePlace()
      let failure = Failure(error)
      guard failure.isShortage else { return true }  // that client is gone; others may wait
      pauseForShortage(failure)
      return false
    }
  }

  private func place(_ accepted: Accepted, _ forward: UInt16) {
    let chosen = shared.doors[shared.leastLoaded(own: index)]
    chosen.open.add(1, ordering: .relaxed)
    if chosen !== door {
      let token = Token.arrival(socket: accepted.number, forward: forward)
      do throws(Errno) {
        try watch(
          accepted.number, with: chosen.poller.number, for: .changes, token: token.bits)
        return
      } catch {
        chosen.open.subtract(1, ordering: .relaxed)
        door.open.add(1, ordering: .relaxed)
      }
    }
    adopt(Socket(owning: accepted.number), Endpoint(accepted.peer), forward)
  }

  /// Another worker accepted this client. A socket is writable at once, so the event always comes.
  func adoptArrival(_ number: Int32, _ forward: UInt16) {
    let socket = Socket(owning: number)
    unwatch(number, with: door.poller.number)
    // A client that has reset the connection has no address any more; it is absorbed in its turn.
    var endpoint = Endpoint(address: IPAddress(high: 0, low: 0), port: 0)
    do throws(Errno) { endpoint = Endpoint(try socket.peerAddress()) } catch {}
    adopt(socket, endpoint, forward)
  }

  private func adopt(_ socket: consuming Socket, _ endpoint: Endpoint, _ forward: UInt16) {
    door.counters.add(1, to: Count.accepted, of: forward)
    let slot = table.insert(
      Connection(
        client: socket, id: shared.nextID(), endpoint: endpoint, forward: forward, now: now))
    enqueue(slot, table.pointer(slot))
  }

  // MARK: Pauses

  func pauseForShortage(_ failure: Failure) {
    if accepting.state == .watching { stopWatching(.pausedForShortage) }
    timers.set(TimerKey.resumeAccepting, now + Accepting.pause)
    guard accepting.saysShortageAgain <= now else { return }
    accepting.saysShortageAgain = now + Accepting.sayInterval
    if logs(.warn) {
      line.acceptPaused(failure, at: .now)
      queueLine()
    }
  }

  /// Gives the spare descriptor up. False when it is in use already.
  func releaseSpare() -> Bool {
    guard accepting.spare.number >= 0 else { return false }
    accepting.spare = .none
    return true
  }

  /// Nobody is accepted before there is a spare descriptor again.
  private func acquireSpare() throws(Errno) {
    guard accepting.spare.number < 0 else { return }
    accepting.spare = try Descriptor.spare()
  }

  private func pauseForLimit() {
    stopWatching(.pausedForLimit)
    guard accepting.saysLimitAgain <= now else { return }
    accepting.saysLimitAgain = now + Accepting.sayInterval
    if logs(.warn) {
      line.maxConnectionsReached(limit: shared.limits.connections, at: .now)
      queueLine()
    }
  }

  private func stopWatching(_ state: Accepting.State) {
    accepting.state = state
    accepting.batch = 1
    for listener in shared.listeners {
      unwatch(listener.socket.number, with: door.poller.number)
    }
  }

  func resumeAccepting() {
    guard accepting.state == .pausedForShortage || accepting.state == .pausedForLimit else {
      return
    }
    do throws(Errno) {
      try listen()
      accepting.state = .watching
    } catch {
      stopWatching(.pausedForShortage)
      timers.set(TimerKey.resumeAccepting, now + Accepting.pause)
    }
  }

  /// A place is free again. Whoever frees one takes clients again, so that someone always does.
  func releaseAndResume() {
    shared.releasePlace()
    if accepting.state == .pausedForLimit { resumeAccepting() }
  }

  // MARK: The end

  /// Takes those who wait in the backlog, because closing the listener would reset them, and
  /// leaves.
  func leaveListeners() {
    guard accepting.state != .left else { return }
    for listener in shared.listeners {
      // No more than a backlog holds: newcomers must not keep the listener open.
      for _ in 0..<Accepting.maxBacklog {
        guard acceptOne(listener) else { break }
      }
    }
    stopWatching(.left)
    timers.clear(TimerKey.resumeAccepting)
    shared.closedDoors.add(1, ordering: .sequentiallyConsistent)
    shared.supervisorWake.signal()
  }
}
