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
    /// At MAX_CONNECTIONS: until a connection ends, whoever has it.
    case pausedForLimit
    case left
  }

  var state = State.watching
  /// The listeners at which somebody waits, one bit for each: there are 64 at most.
  var told: UInt64 = 0
  /// Kept free for a client that was accepted with the last descriptor and still needs one towards
  /// the target: without it such clients would wait for each other.
  var spare = Descriptor.none
  var saysShortageAgain = Instant(nanoseconds: .min)
  var saysLimitAgain = Instant(nanoseconds: .min)

  /// So that a flood of clients takes turns with those who are served. It costs nothing:
  /// connections a second of 256 clients with 1, 4, 16, 64: 15,196, 15,301, 15,219, 15,308.
  static let maxBatch = 16
  /// net.core.somaxconn, as it is by default since Linux 5.4.
  static let maxBacklog = 4096
  /// Long enough not to spin, short enough not to be felt.
  static let pause = Nanoseconds.milliseconds(100)
  /// How often a limit that is reached again and again is said.
  static let sayInterval = Nanoseconds.seconds(10)
}

/// A client on its way to the worker that another has chosen for it.
struct Arrival {
  let accepted: Accepted
  let forward: UInt16
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

  /// From each listener that was told of, as many as half of the events that were told together:
  /// a lone client costs one call, and a busy worker still takes its share. After the turns of
  /// others, so that a client that has ended is no load any more.
  func takeClients(events: Int) {
    let batch = min(max(1, events / 2), Accepting.maxBatch)
    while accepting.told != 0 && accepting.state == .watching {
      let index = accepting.told.trailingZeroBitCount
      accepting.told &= accepting.told - 1
      for _ in 0..<batch where accepting.state == .watching {
        guard acceptOne(shared.listeners[index]) else { break }
      }
    }
    accepting.told = 0
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
      guard !error.concernsOneClient else { return true }  // it is gone; others may wait
      // Not only a shortage: who waits still does, and trying again at once would be a spin.
      pauseForShortage(Failure(error))
      return false
    }
  }

  private func place(_ accepted: Accepted, _ forward: UInt16) {
    let chosen = shared.doors[shared.leastLoaded(own: index)]
    chosen.load.add(1, ordering: .relaxed)
    if chosen !== door {
      let arrival = UnsafeMutablePointer<Arrival>.allocate(capacity: 1)
      arrival.initialize(to: Arrival(accepted: accepted, forward: forward))
      do throws(Errno) {
        // A socket is writable at once, so the event always comes.
        try watch(
          accepted.number, with: chosen.poller.number, for: .changes,
          token: Token.arrival(arrival).bits)
        return
      } catch {
        arrival.deallocate()
        chosen.load.subtract(1, ordering: .relaxed)
        door.load.add(1, ordering: .relaxed)
      }
    }
    adopt(accepted, forward)
  }

  /// Another worker accepted this client, and watches it with this worker's poller.
  func adopt(_ arrival: UnsafeMutablePointer<Arrival>, hints: Readiness) {
    let accepted = arrival.pointee.accepted
    let forward = arrival.pointee.forward
    arrival.deallocate()
    adopt(accepted, forward, hints: hints)
  }

  /// Without `hints` nobody watches it yet.
  private func adopt(_ accepted: Accepted, _ forward: UInt16, hints: Readiness? = nil) {
    door.counters.add(1, to: Count.accepted, of: forward)
    let slot = table.insert(
      Connection(accepted, id: shared.nextID(), forward: forward, now: now))
    let connection = table.pointer(slot)
    if let hints {
      connection.pointee.isClientWatchedFully = true
      connection.pointee.note(hints, of: .client)
    }
    dialTurn(slot, connection)
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
    if shared.awaitPlace(index) { return resumeAccepting() }
    guard accepting.saysLimitAgain <= now else { return }
    accepting.saysLimitAgain = now + Accepting.sayInterval
    if logs(.warn) {
      line.maxConnectionsReached(limit: shared.limits.connections, at: .now)
      queueLine()
    }
  }

  private func stopWatching(_ state: Accepting.State) {
    accepting.state = state
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

  /// Woken, perhaps by a place that is free again.
  func followPlaces() {
    guard accepting.state == .pausedForLimit else { return }
    if shared.awaitPlace(index) { resumeAccepting() }
  }

  func giveBackPlace() {
    let open = shared.releasePlace()
    if phase != .serving && open == 0 { shared.supervisorWake.signal() }
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
