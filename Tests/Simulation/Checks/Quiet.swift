// What must hold while all threads wait: nothing that could be done is left undone, and no time
// that was set is over.

enum Quiet {
  /// Longer than any pause or delay that the daemon or the kernel makes on purpose.
  static let span = Time.milliseconds(250)
}

extension World {
  func judgeQuiet(span: Time) {
    judgeBacklogs()
    for stream in streams where !stream.isClosed && stream.number >= 0 {
      if stream.isClient { judgeWaitingClient(stream) }
      guard !stream.isClient, stream.isUsed, let client = stream.partner else { continue }
      judgePassing(from: client, to: stream)
      judgePassing(from: stream, to: client)
      judgeTimes(client, stream)
    }
    judgeExit()
  }

  private func judgeBacklogs() {
    guard openClients < limit, stoppedAgainAt == .never,
      sim.now - sim.kernel.lastShortage > Quiet.span
    else { return }
    for listener in sim.kernel.listeners where !listener.waiting.isEmpty {
      sim.fail("a client waits at \(listener.port), though only \(openClients) are open")
    }
  }

  /// Bytes, an end or a failure that the other would be told of, if somebody passed it on.
  private func judgePassing(from source: Stream, to target: Stream) {
    guard !target.isClosed, target.state == .established, target.hasSpace else { return }
    if source.state == .established, !target.endWritten {
      if source.available > 0 { sim.fail("stall: \(source.number) has bytes for \(target.number)") }
      if source.hasEnd { sim.fail("stall: \(source.number) has ended, \(target.number) has not") }
    }
    if source.readCount > target.written {
      sim.fail("stall: bytes for \(target.number) are held")
    }
    guard source.state == .ended else { return }
    // It is asked every 256 ms whether the other has acknowledged everything.
    let since = max(source.failedAt, target.lastHeard)
    let patience = target.unacknowledged == 0 ? .milliseconds(600) : plan.peerTimeout * 3 / 2
    if sim.now - since > patience {
      sim.fail("stall: \(source.number) is gone, \(target.number) is not told")
    }
  }

  private func judgeTimes(_ client: Stream, _ upstream: Stream) {
    guard !client.isClosed else { return }
    let moved = max(client.lastMoved, upstream.lastMoved)
    if let idle = plan.idleTimeout, sim.now - moved > idle + .milliseconds(150) {
      sim.fail("IDLE_TIMEOUT is over for \(client.number) and \(upstream.number)")
    }
    for stream in [client, upstream] {
      let silent = sim.now - stream.peer!.vanishedAt
      guard stream.peer!.isVanished, silent > plan.peerTimeout * 4 / 3 + .milliseconds(1_500)
      else { continue }
      sim.fail("PEER_TIMEOUT is over for \(stream.number)")
    }
  }

  private func judgeWaitingClient(_ client: Stream) {
    guard client.partner == nil, client.acceptedAt != .never, let place = client.place else {
      return
    }
    let attempts = upstreamsByPlace[place] ?? []
    // One that has won, though nothing was moved yet.
    if attempts.contains(where: { !$0.isClosed && $0.state != .connecting }) { return }
    if sim.now - client.acceptedAt > plan.connectTimeout + .milliseconds(150) {
      sim.fail("CONNECT_TIMEOUT is over for \(client.number)")
    }
  }

  private func judgeExit() {
    let slack = Time.milliseconds(2_400)
    if stoppedAt != .never, sim.now > stoppedAt + plan.drainDelay + plan.drainTimeout + slack {
      sim.fail("does not exit after DRAIN_TIMEOUT")
    }
    if stoppedAgainAt != .never, sim.now > stoppedAgainAt + slack {
      sim.fail("does not exit after the second signal")
    }
  }
}
