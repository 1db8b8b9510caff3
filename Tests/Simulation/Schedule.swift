// One schedule: the daemon's threads as fibers that take turns, the events of the world around
// them, and a clock that moves only when all of them wait (and a little with each call).
import Daemon
import Stacks

/// The schedule that is running: the daemon's calls come without a context.
nonisolated(unsafe) var sim: Schedule! = nil

final class Fiber {
  enum State { case ready, waiting, ended }

  let name: String
  let body: () -> Void
  var state = State.ready
  /// Where its stack was left; no access to a property lasts while others run.
  let stack = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 1)
  var deadline = Time.never
  /// Calls since something came of one.
  var idleCalls = 0

  init(_ name: String, _ body: @escaping () -> Void) {
    self.name = name
    self.body = body
    stack.initialize(to: nil)
  }

  deinit { stack.deallocate() }
}

final class Schedule {
  let seed: UInt64
  let plan: Plan
  let isTraced: Bool
  /// What the kernel and the scheduler do; the plan has chance of its own.
  var chance: Chance
  var now: Time = .seconds(1_000)
  let kernel: Kernel
  private(set) var world: World!
  private(set) var events = EventQueue()
  private(set) var fibers: [Fiber] = []
  private(set) var current: Fiber?
  private let mainStack = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 1)
  private(set) var failure: String?
  private(set) var exitCode: Int32?
  private(set) var calls = 0
  /// No thread runs before.
  private var stillUntil: Time = 0
  private var stoodStill: Time = 0
  /// Time in which the process could run.
  var ran: Time { now - stoodStill }
  /// A bit for each state.
  var reached: UInt64 = 0
  /// Of the daemon's calls, how often another thread comes before it.
  private let preemption: Int
  private let callCost: Int

  static let start: Time = .seconds(1_000)
  private static let mostIdleCalls = 2_000
  private static let mostCalls = 400_000

  init(seed: UInt64, isTraced: Bool) {
    self.seed = seed
    self.isTraced = isTraced
    var plans = Chance(seed: seed)
    plan = Plan(&plans)
    chance = Chance(seed: ~seed)
    preemption = chance.pick([0, 0, 2, 8, 64])
    callCost = chance.pick([0, 1_000, 4_000, 30_000])
    kernel = Kernel(plan)
    world = World(plan)
  }

  deinit { mainStack.deallocate() }

  var isOver: Bool { exitCode != nil || failure != nil }

  // MARK: The run

  func run() {
    sim = self
    start("main") { [unowned self] in
      var name = Array("sidecar\0".utf8CString)
      let code = name.withUnsafeMutableBufferPointer { text -> Int32 in
        var arguments: [UnsafeMutablePointer<CChar>?] = [text.baseAddress, nil]
        return Daemon.run(1, &arguments)
      }
      exit(code)
    }
    world.begin()
    while !isOver { turn() }
    if failure == nil { world.judgeEnd() }
    sim = nil
    stack_reuse()
  }

  private func turn() {
    runDueEvents()
    guard !isOver else { return }
    guard now >= stillUntil else {
      let next = min(stillUntil, events.next)
      stoodStill += next - now
      return now = next
    }
    let ready = fibers.filter { $0.state == .ready }
    if !ready.isEmpty {
      if standsStill() { return }
      return go(to: ready[chance.number(0...ready.count - 1)])
    }
    var next = events.next
    for fiber in fibers where fiber.state == .waiting { next = min(next, fiber.deadline) }
    guard next != .never else { return fail("nothing will ever happen again") }
    if next - now >= Quiet.span { world.judgeQuiet(span: next - now) }
    now = max(now, next)
    if now - Self.start > plan.mostTime { return fail("goes on for too long") }
    for fiber in fibers where fiber.state == .waiting && fiber.deadline <= now {
      fiber.state = .ready
    }
  }

  /// The process has used up its share of the CPU (cpu.max); the world goes on.
  private func standsStill() -> Bool {
    guard plan.standsStill > 0, kernel.isHostile, chance.one(in: plan.standsStill) else {
      return false
    }
    standStill()
    return true
  }

  func standStill() {
    reach(.stoodStill)
    stillUntil = now + .milliseconds(chance.number(1...60))
  }

  private func go(to fiber: Fiber) {
    current = fiber
    fiber.deadline = .never
    if fiber.stack.pointee == nil {
      let opaque = Unmanaged.passUnretained(fiber).toOpaque()
      fiber.stack.pointee = stack_make(
        { opaque in
          let fiber = Unmanaged<Fiber>.fromOpaque(opaque!).takeUnretainedValue()
          fiber.body()
          fiber.state = .ended
          sim.leave()
        }, opaque)
    }
    stack_switch(mainStack, fiber.stack.pointee)
    current = nil
  }

  /// Back to `go`, until it comes here again.
  private func leave() {
    let fiber = current!
    stack_switch(fiber.stack, mainStack.pointee)
  }

  func start(_ name: String, _ body: @escaping () -> Void) { fibers.append(Fiber(name, body)) }

  // MARK: By the thread that runs

  /// Each call begins with it.
  @inline(__always)
  func enter() {
    calls += 1
    let fiber = current!
    fiber.idleCalls += 1
    if fiber.idleCalls > Self.mostIdleCalls { fail("\(fiber.name) spins") }
    if calls > Self.mostCalls { fail("too many calls") }
    if callCost > 0 { now += Time(chance.next() % UInt64(callCost)) }
    if events.next <= now { runDueEvents() }
    if preemption > 0, chance.one(in: preemption) { leave() }
  }

  /// Something came of a call.
  @inline(__always)
  func progress() { current?.idleCalls = 0 }

  /// Waits to be woken, or for the time. False when the time is over.
  func wait(until deadline: Time) -> Bool {
    let fiber = current!
    fiber.state = .waiting
    fiber.deadline = deadline
    fiber.idleCalls = 0
    leave()
    return now < deadline
  }

  func wake(_ fiber: Fiber) { if fiber.state == .waiting { fiber.state = .ready } }

  func exit(_ code: Int32) -> Never {
    exitCode = code
    leave()
    fatalError("an ended process goes on")
  }

  // MARK: The world's events

  func at(_ time: Time, _ action: @escaping () -> Void) { events.add(max(time, now), action) }

  func after(_ span: Time, _ action: @escaping () -> Void) { events.add(now + span, action) }

  /// After `span` in which the process could run.
  func afterRunning(_ span: Time, _ action: @escaping () -> Void) {
    let due = ran + span
    after(span) { [self] in
      if ran < due { afterRunning(due - ran, action) } else { action() }
    }
  }

  private func runDueEvents() {
    while let action = events.take(now) { action() }
  }

  // MARK: What is found

  /// Ends the schedule: a thread that runs does not go on.
  func fail(_ text: String) {
    if failure == nil {
      failure = text
      trace("FAILED: \(text)")
    }
    if current != nil { leave() }
  }

  @inline(__always)
  func trace(_ text: @autoclosure () -> String) {
    if isTraced { traceLine(text()) }
  }

  @inline(never)
  private func traceLine(_ text: String) {
    let micros = (now - Self.start) / 1_000
    let digits = String(micros % 1_000_000)
    let zeros = String(repeating: "0", count: 6 - digits.count)
    let line = "\(micros / 1_000_000).\(zeros)\(digits) \(current?.name ?? "-") \(text)\n"
    line_write(line, line.utf8.count)
  }
}

/// A heap of actions by time; those of the same time in the order in which they were added.
struct EventQueue {
  private struct Event {
    let time: Time
    let number: UInt64
    let action: () -> Void

    func isBefore(_ other: Event) -> Bool {
      time < other.time || time == other.time && number < other.number
    }
  }

  private var heap: [Event] = []
  private var added: UInt64 = 0
  private(set) var next = Time.never

  mutating func add(_ time: Time, _ action: @escaping () -> Void) {
    added += 1
    heap.append(Event(time: time, number: added, action: action))
    var index = heap.count - 1
    while index > 0, heap[index].isBefore(heap[(index - 1) / 2]) {
      heap.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
    next = heap[0].time
  }

  /// The first that is due.
  mutating func take(_ now: Time) -> (() -> Void)? {
    guard next <= now else { return nil }
    let first = heap[0]
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    next = heap.first?.time ?? .never
    return first.action
  }

  private mutating func sink() {
    var index = 0
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count {
        if heap[child].isBefore(heap[least]) { least = child }
      }
      if least == index { return }
      heap.swapAt(index, least)
      index = least
    }
  }
}
