// What must hold with every byte and every end that the daemon sends, at the moment it does.

extension Stream {
  /// Received or sent by the daemon: from here on it is one half of a connection.
  func touch() {
    guard !isUsed, peer != nil else { return }
    isUsed = true
    guard !isClient else { return }
    partner?.partner = self
    if address.isLoopback { sim.reach(.loopback) }
  }

  /// A target's stream comes out at one client, and the other way round.
  private func bind(_ sender: Peer) {
    if sender.isClient == isClient { return sim.fail("bytes go back to where they came from") }
    if let other = sender.carrier, other !== self { return sim.fail("a stream in two places") }
    if let partner, let peer = partner.peer, peer !== sender {
      return sim.fail("the bytes of \(sender.id) at \(number), which belongs to \(peer.id)")
    }
    sender.carrier = self
    carries = sender
  }

  func judgeBytes(_ bytes: UnsafeRawPointer, _ count: Int) {
    if carries == nil {
      let id = Int(bytes.load(as: UInt8.self))
      guard id < sim.world.peers.count else { return sim.fail("bytes of nobody") }
      bind(sim.world.peers[id])
    }
    let sender = carries!
    if written + count > sender.stream.readCount { return sim.fail("bytes out of nowhere") }
    if !Pattern.matches(bytes, sender.id, written, count) {
      sim.fail("other bytes than \(sender.id) sent, from \(written) on")
    }
  }

  func judge(_ sender: Peer, _ start: Int, _ ahead: Int) {
    if carries == nil { bind(sender) }
    if carries !== sender || start != written + ahead {
      sim.fail("bytes of \(sender.id) from \(start) in place of \(written + ahead)")
    }
  }

  /// The daemon ends this stream in order: only after the last byte of one that ended in order.
  func judgeEnd() {
    if !isUsed, !isClient { return }  // an attempt that was not the first to succeed
    guard let source = carries?.stream ?? partner else {
      if hasEnd, arrived == 0 {
        sim.reach(.probeAbsorbed)
        return
      }
      // Connected, and nothing was said yet.
      if sim.plan.onTargetChange == "drain", available == 0, sim.world.nameHasMoved {
        return sim.reach(.endedByChange)
      }
      return sim.fail("\(number) ends in order, and nobody else had")
    }
    if source.hasEnd, source.available == 0, written == source.arrived {
      if source.arrived > 0, arrived > 0, hasEnd { sim.reach(.wholeBothWays) }
      return
    }
    if sim.plan.onTargetChange == "drain", source.available == 0, written == source.readCount {
      sim.reach(.endedByChange)
      return
    }
    sim.fail("\(number) ends in order, cut off at \(written) of \(source.arrived)")
  }

  /// The daemon resets this stream, or closes it with bytes that it has not read: for a reason.
  func judgeReset() {
    if !isUsed, !isClient { return }
    let world = sim.world!
    if sim.now >= world.stoppedAgainAt { return sim.reach(.secondSignal) }
    if world.mayCut { return sim.reach(.drainCut) }
    if world.allocationFailed || sim.plan.failsToWatch > 0 { return }
    if peer!.isVanished { return sim.reach(.peerVanished) }
    guard let other = partner ?? carries?.stream else { return judgeUnconnected() }
    if other.state == .ended || other.isReset {
      if other.isReset == false { sim.reach(.resetPassedOn) }
      return
    }
    if other.peer!.isVanished { return sim.reach(.peerVanished) }
    if let idle = sim.plan.idleTimeout,
      sim.now - max(lastMoved, other.lastMoved) >= idle - .milliseconds(100)
    {
      return sim.reach(.idleReset)
    }
    if world.nameHasMoved, sim.plan.onTargetChange != "keep" { return sim.reach(.endedByChange) }
    sim.fail("\(number) is reset without a reason")
  }

  /// A client whose target was not reached.
  private func judgeUnconnected() {
    sim.reach(.resetUnconnected)
    let attempts = place.flatMap { sim.world.upstreamsByPlace[$0] } ?? []
    if attempts.contains(where: { $0.isUsed }) { sim.fail("\(number) is reset, though connected") }
    let plan = sim.plan
    guard !plan.lacksSomething, plan.idleTimeout == nil, !sim.world.nameHasMoved,
      sim.now - acceptedAt < plan.connectTimeout, !attempts.isEmpty,
      !attempts.contains(where: { $0.isLedAstray || $0.state == .ended || $0.isReset })
    else { return }
    sim.fail("\(number) is reset, though its target answers")
  }
}

extension World {
  /// DRAIN_TIMEOUT is over.
  var mayCut: Bool {
    stoppedAt != .never && sim.now >= stoppedAt + plan.drainDelay + plan.drainTimeout
  }

  var nameHasMoved: Bool { names.lastChange > Schedule.start }
}
