// Everything outside the daemon: who comes, where connections lead, and when the signals come.

final class World {
  static let ownAddress = Address(ipv4: 0x0a00_0064, port: 0)

  let plan: Plan
  let targets: Targets
  let names: NameWorld
  let operators = Operators()
  /// By number; a stream's first byte is its sender's number.
  private(set) var peers: [Peer] = []
  /// Kept to the end, as their peers refer to them.
  private(set) var streams: [Stream] = []
  private(set) var clientsByPlace: [Place: Stream] = [:]
  private(set) var upstreamsByPlace: [Place: [Stream]] = [:]
  private(set) var acceptedCount = 0
  /// Accepted and not closed.
  private(set) var openClients = 0
  private var lastPort: UInt16 = 40_000

  var allocationFailed = false
  private(set) var stoppedAt = Time.never
  /// How long the process had run by then.
  private(set) var stoppedAfter = Time.never
  private(set) var stoppedAgainAt = Time.never
  private(set) var restingDescriptors = 0
  private(set) var hasSettled = false

  static let mostPeers = 250

  let limit: Int
  let pipeLimit: Int

  init(_ plan: Plan) {
    self.plan = plan
    let limits = Self.limits(plan)
    limit = limits.connections
    pipeLimit = limits.pipes.count * limits.workers
    targets = Targets(plan)
    names = NameWorld(plan)
  }

  func begin() {
    targets.begin()
    names.begin()
    sim.at(Schedule.start + .microseconds(19_900)) { [self] in
      guard !sim.isOver else { return }
      restingDescriptors = sim.kernel.open
      sim.kernel.isHostile = true
    }
    for visit in plan.visits { sim.at(visit.at) { [self] in arrive(visit) } }
    planShortages()
    planStalls()
    operators.begin()
    if let stop = plan.stopsAt {
      sim.at(stop) { [self] in self.stop() }
    } else {
      sim.at(plan.settledAt) { [self] in settle() }
    }
  }

  private func planShortages() {
    for _ in 0..<plan.shortages {
      let at = Schedule.start + .milliseconds(20 + sim.chance.scaled(0...6_000))
      let length = Time.microseconds(sim.chance.scaled(1...400_000))
      let code = sim.chance.pick([Code.systemLimit, Code.noMemory, Code.noBuffers])
      sim.at(at) { sim.kernel.shortage = (sim.now + length, code) }
    }
    for _ in 0..<plan.lowersLimit {
      let at = Schedule.start + .milliseconds(20 + sim.chance.scaled(0...6_000))
      let left = sim.chance.number(0...4)
      sim.at(at) { sim.kernel.descriptorLimit = sim.kernel.open + left }
      let length = Time.microseconds(sim.chance.scaled(1...900_000))
      sim.at(at + length) { [plan] in sim.kernel.descriptorLimit = plan.descriptors }
    }
  }

  private func planStalls() {
    guard plan.stallsOutput else { return }
    let at = Schedule.start + .milliseconds(10 + sim.chance.scaled(0...3_000))
    let length =
      sim.chance.one(in: 4) ? Time.seconds(200) : .milliseconds(sim.chance.number(1...900))
    sim.at(at) { sim.kernel.output.stalledUntil = sim.now + length }
    if sim.chance.one(in: 4) { sim.at(at + 1) { sim.kernel.output.isBroken = true } }
  }

  // MARK: Clients

  private func arrive(_ visit: Plan.Visit) {
    let port = plan.forwards[visit.forward].listenPort
    guard peers.count < Self.mostPeers,
      let listener = sim.kernel.listeners.first(where: { $0.port == port && !$0.isPage })
    else {
      sim.reach(.refusedClient)
      return
    }
    let stream = Stream(isClient: true)
    lastPort += 1
    stream.address = Address(ipv4: 0x0a00_0101, port: lastPort)
    let peer = meet(stream, visit.script)
    sim.trace("  client \(peer.id) comes to \(port)")
    listener.add(stream)
    peer.begin()
    sim.after(visit.life) { peer.endLife() }
  }

  func meet(_ stream: Stream, _ script: [Step]) -> Peer {
    let peer = Peer(id: peers.count, stream, isClient: stream.isClient, script: script)
    peers.append(peer)
    if stream.isClient { streams.append(stream) }
    stream.establish(peer)
    return peer
  }

  func accepted(_ stream: Stream) {
    acceptedCount += 1
    openClients += 1
    if openClients > limit { sim.fail("more connections than MAX_CONNECTIONS") }
    if openClients == limit { sim.reach(.connectionLimit) }
  }

  // MARK: Connections of the daemon

  func connect(_ stream: Stream) -> Int32 {
    names.judge(stream.address)
    streams.append(stream)
    return targets.connect(stream)
  }

  func callOff(_ stream: Stream) { sim.reach(.attemptCalledOff) }

  /// From the tokens follows which two sockets belong together.
  func watched(_ object: Object, _ place: Place?) {
    guard let place, let stream = object as? Stream else { return }
    stream.place = place
    if stream.isClient {
      clientsByPlace[place] = stream
    } else {
      upstreamsByPlace[place, default: []].append(stream)
      stream.partner = clientsByPlace[place]
      if let client = stream.partner { judgeProbe(client) }
      if stream.isUsed { stream.partner?.partner = stream }
    }
  }

  /// A target on this machine, connected already, for a client that has spoken.
  func watchRefused(_ object: Object, _ place: Place?) {
    guard let stream = object as? Stream, !stream.isClient, stream.address.isLoopback,
      stream.state == .established, let client = place.flatMap({ clientsByPlace[$0] })
    else { return }
    if client.arrived > 0 { sim.reach(.watchRefusedNearby) }
  }

  /// One that had left before it was accepted is none of the target's business.
  private func judgeProbe(_ client: Stream) {
    guard plan.absorbsProbes, plan.delaysEvents == 0, client.arrived == 0 else { return }
    // Where the process stood still, the time may be over before the end is told of.
    guard !(plan.fewEvents && plan.standsStill > 0) else { return }
    if client.endedAt <= client.acceptedAt { sim.fail("a probe reaches the target") }
  }

  func closed(_ stream: Stream) {
    if stream.isClient { openClients -= 1 }
  }

  // MARK: Signals

  func stop() {
    guard !sim.isOver else { return }
    stoppedAt = sim.now
    stoppedAfter = sim.ran
    sim.trace("  SIGTERM")
    sim.kernel.signals.raise(15)
    guard let again = plan.stopsAgainAfter else { return }
    sim.after(again) { [self] in
      guard !sim.isOver else { return }
      guard sim.kernel.signals.raise(sim.chance.one(in: 2) ? 15 : 2) else { return }
      sim.trace("  another signal")
      stoppedAgainAt = sim.now
    }
  }

  /// Everybody has gone: what is left must be what was there before, but for a lookup that may be
  /// under way.
  private func settle(tries: Int = 20) {
    guard !sim.isOver else { return }
    let isAsking = sim.kernel.table.contains { $0 is Datagrams || $0 is Talk }
    if isAsking, tries > 0 {
      return sim.after(.seconds(1)) { [self] in settle(tries: tries - 1) }
    }
    hasSettled = true
    sim.kernel.isHostile = false
    judgeRest()
    operators.askAtRest { [self] in stop() }
  }
}
