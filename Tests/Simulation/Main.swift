// The real daemon over a simulated kernel, many times over: each seed is a schedule, with its own
// settings, clients, targets, faults and order of events.
// Usage: Simulate [--first SEED] [--schedules N] [--jobs N] [--failures N] | --seed SEED
import Stacks

@c(Simulate_main)
public func start(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  var words: [String] = []
  for index in 1..<max(1, Int(count)) { words.append(String(cString: arguments[index]!)) }
  var options: [String: UInt64] = [:]
  var rest = words[...]
  while let word = rest.popFirst() {
    guard word.hasPrefix("--"), let number = rest.popFirst().flatMap({ UInt64($0) }) else {
      print("Simulate: --first, --schedules, --jobs, --failures and --seed each take a number")
      return 64
    }
    options[word] = number
  }
  if let seed = options["--seed"] { return replay(seed) }
  return Runner(
    first: options["--first"] ?? 1, schedules: options["--schedules"] ?? 10_000,
    jobs: Int(options["--jobs"] ?? 2), failures: options["--failures"] ?? 20
  ).run()
}

/// One schedule, with each call as it is made.
private func replay(_ seed: UInt64) -> Int32 {
  let schedule = simulate(seed, isTraced: true)
  if let failure = schedule.failure {
    print("seed \(seed): \(failure)")
    return 1
  }
  print("seed \(seed): nothing to find fault with; \(schedule.calls) calls")
  return 0
}

func simulate(_ seed: UInt64, isTraced: Bool) -> Schedule {
  let schedule = Schedule(seed: seed, isTraced: isTraced)
  thread_run(
    { Unmanaged<Schedule>.fromOpaque($0!).takeUnretainedValue().run() },
    Unmanaged.passUnretained(schedule).toOpaque())
  return schedule
}
