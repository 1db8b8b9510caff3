// What answers where: by address, and changing with time.

enum Fate {
  case healthy
  case refuses
  /// When the next address is asked already.
  case refusesLate
  case silent
  case unreachable
  /// Answers, after a lost packet.
  case late
  /// Accepts and resets.
  case resets
  /// This machine forbids it, or has no port for it.
  case local(Int32)
}

final class Targets {
  private let plan: Plan
  private var fates: [Address: Fate] = [:]
  private(set) var attempts = 0
  /// Since when an address has its fate.
  private(set) var lastChange: Time = 0

  init(_ plan: Plan) { self.plan = plan }

  func begin() {
    lastChange = sim.now
    guard plan.changesTargets else { return }
    for _ in 0..<sim.chance.number(1...4) {
      sim.at(Schedule.start + .milliseconds(20 + sim.chance.scaled(0...8_000))) { [self] in change()
      }
    }
  }

  private func change() {
    lastChange = sim.now
    fates = [:]
    sim.reach(.targetsChanged)
  }

  private func draw() -> Fate {
    guard sim.chance.one(in: plan.changesTargets ? 2 : 8) else { return .healthy }
    switch sim.chance.number(0...8) {
    case 0, 1: return .refuses
    case 2, 3: return .silent
    case 4: return .unreachable
    case 5: return .late
    case 6: return .resets
    case 7: return .refusesLate
    case _: return .local(sim.chance.pick([Code.notAvailable, Code.notPermitted]))
    }
  }

  func connect(_ stream: Stream) -> Int32 {
    attempts += 1
    let address = stream.address
    let fate = fates[address] ?? draw()
    fates[address] = fate
    if case .healthy = fate { stream.isLedAstray = false }
    let isNear = address.isLoopback
    stream.state = .connecting
    standStillBeside(stream)
    switch fate {
    case .healthy, .resets:
      if isNear { answer(stream, fate) } else { answer(stream, fate, after: delay()) }
    case .late: answer(stream, fate, after: .milliseconds(sim.chance.pick([200, 1_000, 3_000])))
    case .refuses:
      sim.reach(.refused)
      if isNear {
        stream.state = .fresh
        return Code.refused
      }
      sim.after(delay()) { if !stream.isClosed { stream.breakOff(Code.refused) } }
    case .refusesLate:
      let late = Time.milliseconds(250) + .microseconds(sim.chance.scaled(0...60_000))
      sim.after(late) { if !stream.isClosed { stream.breakOff(Code.refused) } }
    case .silent:
      sim.reach(.silentTarget)
      sim.after(.seconds(127)) { if !stream.isClosed { stream.breakOff(Code.timedOut) } }
    case .unreachable:
      guard sim.chance.one(in: 2) else {
        stream.state = .fresh
        return Code.networkUnreachable
      }
      sim.after(delay()) { if !stream.isClosed { stream.breakOff(Code.hostUnreachable) } }
    case .local(let code):
      stream.state = .fresh
      return code
    }
    return Code.inProgress
  }

  /// What several attempts come to is then told at once.
  private func standStillBeside(_ stream: Stream) {
    let isOther = { (x: Stream) in x !== stream && x.state == .connecting && !x.isClosed }
    guard plan.standsStill > 0, sim.world.streams.contains(where: isOther), sim.chance.one(in: 2)
    else { return }
    sim.standStill()
  }

  private func delay() -> Time { .microseconds(sim.chance.number(plan.latency) * 2) }

  private func answer(_ stream: Stream, _ fate: Fate, after delay: Time) {
    sim.after(delay) { [self] in
      guard stream.state == .connecting, !stream.isClosed else { return }
      answer(stream, fate)
    }
  }

  private func answer(_ stream: Stream, _ fate: Fate) {
    guard sim.world.peers.count < World.mostPeers else {
      stream.isLedAstray = true
      return stream.breakOff(Code.refused)
    }
    let script = Script.target(&sim.chance)
    let peer = sim.world.meet(stream, script)
    sim.trace("  target \(peer.id) at \(stream.address.text)")
    if case .resets = fate {
      sim.reach(.targetResets)
      peer.resetSoon()
    } else {
      stream.awaitBegin()
    }
    sim.after(.milliseconds(sim.chance.scaled(20...14_000))) { peer.endLife() }
  }
}
