// The table of descriptors and what lies behind them: numbers are given out lowest first, and what
// is done to a number that is not open ends the schedule.

/// The kernel's error numbers, as calls give them back.
enum Code {
  static let notPermitted: Int32 = -1
  static let noEntry: Int32 = -2
  static let badDescriptor: Int32 = -9
  static let wouldBlock: Int32 = -11
  static let noMemory: Int32 = -12
  static let invalid: Int32 = -22
  static let systemLimit: Int32 = -23
  static let descriptorLimit: Int32 = -24
  static let noSpace: Int32 = -28
  static let brokenPipe: Int32 = -32
  static let unsupported: Int32 = -95
  static let addressInUse: Int32 = -98
  static let notAvailable: Int32 = -99
  static let networkUnreachable: Int32 = -101
  static let aborted: Int32 = -103
  static let reset: Int32 = -104
  static let noBuffers: Int32 = -105
  static let isConnected: Int32 = -106
  static let notConnected: Int32 = -107
  static let timedOut: Int32 = -110
  static let refused: Int32 = -111
  static let hostUnreachable: Int32 = -113
  static let already: Int32 = -114
  static let inProgress: Int32 = -115
}

class Object {
  fileprivate(set) var watches: [Watch] = []
  var number: Int32 = -1

  /// What poll(2) would say.
  func readiness() -> UInt32 { 0 }

  // recv(2) and send(2), of what has them.
  func receive(_ bytes: UnsafeMutableRawPointer, _ limit: Int) -> Int { Int(Code.invalid) }
  func send(_ bytes: UnsafeRawPointer, _ count: Int, isHeldBack: Bool) -> Int {
    Int(Code.invalid)
  }

  /// The last descriptor is closed.
  func close() {}

  /// Something about it has changed.
  final func changed() {
    for watch in watches where !watch.isExclusive { watch.poller.hear(of: watch) }
    wakeExclusive()
  }

  /// One poller that is waited in hears of it, and those before it that are not (EPOLLEXCLUSIVE).
  private func wakeExclusive() {
    let exclusive = watches.filter { $0.isExclusive }
    guard !exclusive.isEmpty else { return }
    let first = sim.chance.one(in: 2) ? 0 : sim.chance.number(0...exclusive.count - 1)
    for offset in exclusive.indices {
      let watch = exclusive[(first + offset) % exclusive.count]
      let isWaitedIn = watch.poller.isWaitedIn
      watch.poller.hear(of: watch)
      if isWaitedIn {
        if offset + 1 < exclusive.count { sim.reach(.exclusiveWake) }
        return
      }
    }
  }
}

/// A descriptor in a poller.
final class Watch {
  unowned let poller: Poller
  unowned let object: Object
  var interest: UInt32
  var token: UInt64
  var isQueued = false

  init(_ poller: Poller, _ object: Object, _ interest: UInt32, _ token: UInt64) {
    self.poller = poller
    self.object = object
    self.interest = interest
    self.token = token
  }

  var isExclusive: Bool { interest & Ready.exclusive != 0 }
  var isEdge: Bool { interest & Ready.edge != 0 }
  /// EPOLLERR and EPOLLHUP are told of whether asked for or not.
  var asked: UInt32 { interest & ~(Ready.edge | Ready.exclusive) | Ready.error | Ready.hangUp }
}

final class Kernel {
  let plan: Plan
  private(set) var table: [Object?] = []
  private(set) var open = 0
  let files: Files
  var listeners: [Listener] = []
  var localListener: LocalListener?
  let signals = SignalQueue()
  let output: Output
  /// What the daemon allocated and has not freed.
  var allocations: Set<UnsafeMutableRawPointer> = []
  var pipePages = 0
  var pipes = 0
  /// Until then calls that make something fail with this.
  var shortage: (until: Time, code: Int32) = (0, 0)
  /// Nothing fails before the daemon serves, or no schedule would come to anything.
  var isHostile = false
  /// May be lowered while the daemon runs (prlimit(2)).
  var descriptorLimit: Int
  var lastShortage: Time = 0
  /// The call, by its number, in which a socket took nothing since it was not connected yet.
  var sentTooEarly = 0
  var environment: [String: UnsafeMutablePointer<CChar>] = [:]

  init(_ plan: Plan) {
    self.plan = plan
    descriptorLimit = plan.descriptors
    files = Files(plan)
    output = Output()
    for (name, value) in plan.environment {
      let text = value.utf8CString
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
      for (index, byte) in text.enumerated() { copy[index] = byte }
      environment[name] = copy
    }
    // Standard input, output and errors.
    for _ in 0..<3 { _ = install(output) }
  }

  deinit { for text in environment.values { text.deallocate() } }

  /// The lowest free number, or why there is none.
  func install(_ object: @autoclosure () -> Object) -> Int32 {
    if let code = scarcity() { return code }
    var number = 0
    while number < table.count, table[number] != nil { number += 1 }
    guard number < descriptorLimit else {
      lastShortage = sim.now
      sim.reach(.descriptorsUsedUp)
      return Code.descriptorLimit
    }
    let made = object()
    if number == table.count { table.append(made) } else { table[number] = made }
    made.number = Int32(number)
    open += 1
    sim?.progress()
    return Int32(number)
  }

  /// The descriptor is another kind of thing from here on.
  func replace(_ number: Int32, _ object: Object) {
    object.number = number
    table[Int(number)] = object
  }

  func hasRoom(for count: Int) -> Bool { open + count <= descriptorLimit }

  /// Why nothing can be made at the moment.
  private func scarcity() -> Int32? {
    guard isHostile, sim.now < shortage.until else { return nil }
    lastShortage = sim.now
    sim.reach(.shortage)
    return shortage.code
  }

  subscript(number: Int32) -> Object {
    guard number >= 0, Int(number) < table.count, let object = table[Int(number)] else {
      sim.fail("a call on descriptor \(number), which is not open")
      fatalError("a failed schedule goes on")
    }
    return object
  }

  /// The object of this kind; another is a number mixed up.
  func find<Kind: Object>(_ number: Int32, _ kind: Kind.Type) -> Kind {
    guard let object = self[number] as? Kind else {
      sim.fail("descriptor \(number) is no \(kind)")
      fatalError("a failed schedule goes on")
    }
    return object
  }

  func close(_ number: Int32) {
    let object = self[number]
    table[Int(number)] = nil
    open -= 1
    for watch in object.watches { watch.poller.forget(watch) }
    object.watches = []
    sim.progress()
    object.close()
  }

  // MARK: epoll_ctl(2)

  func watch(_ poller: Poller, _ object: Object, _ interest: UInt32, _ token: UInt64) -> Int32 {
    guard !object.watches.contains(where: { $0.poller === poller }) else { return -17 }
    if isHostile, plan.failsToWatch > 0, sim.chance.one(in: plan.failsToWatch) {
      sim.reach(.watchRefused)
      sim.world.watchRefused(object, Place(poller, token))
      lastShortage = sim.now
      return sim.chance.one(in: 2) ? Code.noMemory : Code.noSpace
    }
    let watch = Watch(poller, object, interest, token)
    object.watches.append(watch)
    poller.hear(of: watch, atOnce: true)
    return 0
  }

  func rewatch(_ poller: Poller, _ object: Object, _ interest: UInt32, _ token: UInt64) -> Int32 {
    guard let watch = object.watches.first(where: { $0.poller === poller }) else {
      return Code.noEntry
    }
    (watch.interest, watch.token) = (interest, token)
    poller.hear(of: watch, atOnce: true)
    return 0
  }

  func unwatch(_ poller: Poller, _ object: Object) -> Int32 {
    guard let index = object.watches.firstIndex(where: { $0.poller === poller }) else {
      return Code.noEntry
    }
    poller.forget(object.watches.remove(at: index))
    return 0
  }
}
