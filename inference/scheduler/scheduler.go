// Package scheduler computes the noise levels (sigmas) of a run and its initial noise, as Diffusers and torch do. The
// Euler steps themselves are in package inference.
package scheduler

import (
	"encoding/json"
	"fmt"
	"math"
)

// TrainTimesteps is the number of timesteps of the training: noise level σ is timestep σ·TrainTimesteps.
const TrainTimesteps = 1000

// CheckConfig parses a scheduler_config.json. It returns an error unless the file describes the schedule of
// FLUX.2 [klein]: flow matching with an exponential shift that depends on the resolution.
func CheckConfig(data []byte) error {
	cfg := struct {
		Class             string   `json:"_class_name"`
		TrainTimesteps    float64  `json:"num_train_timesteps"`
		DynamicShifting   bool     `json:"use_dynamic_shifting"`
		TimeShiftType     string   `json:"time_shift_type"`
		ShiftTerminal     *float64 `json:"shift_terminal"`
		InvertSigmas      bool     `json:"invert_sigmas"`
		KarrasSigmas      bool     `json:"use_karras_sigmas"`
		ExponentialSigmas bool     `json:"use_exponential_sigmas"`
		BetaSigmas        bool     `json:"use_beta_sigmas"`
		Stochastic        bool     `json:"stochastic_sampling"`
	}{Class: className, TrainTimesteps: TrainTimesteps, TimeShiftType: "exponential"}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("scheduler: config: %w", err)
	}
	for _, row := range []struct {
		bad  bool
		what string
	}{
		{cfg.Class != className, fmt.Sprintf("_class_name is %q, want %s", cfg.Class, className)},
		{cfg.TrainTimesteps != TrainTimesteps, fmt.Sprintf("num_train_timesteps is %v, want %d",
			cfg.TrainTimesteps, TrainTimesteps)},
		{!cfg.DynamicShifting, "use_dynamic_shifting is false, want true"},
		{cfg.TimeShiftType != "exponential", fmt.Sprintf("time_shift_type is %q, want exponential", cfg.TimeShiftType)},
		{cfg.ShiftTerminal != nil && *cfg.ShiftTerminal != 0, "shift_terminal is set, want none"},
		{cfg.InvertSigmas, "invert_sigmas is true, want false"},
		{cfg.KarrasSigmas || cfg.ExponentialSigmas || cfg.BetaSigmas, "karras, exponential or beta sigmas are on, want none"},
		{cfg.Stochastic, "stochastic_sampling is true, want false"},
	} {
		if row.bad {
			return fmt.Errorf("scheduler: config: %s", row.what)
		}
	}
	return nil
}

const className = "FlowMatchEulerDiscreteScheduler"

// Sigmas returns the steps+1 noise levels of a run, descending from 1 to 0; steps is at least 1. imageTokens is the
// number of tokens of the picture, without references. It follows Flux2KleinPipeline and
// FlowMatchEulerDiscreteScheduler.set_timesteps, and rounds to float32 where they do.
func Sigmas(imageTokens, steps int) []float32 {
	expMu := float32(math.Exp(empiricalMu(imageTokens, steps)))
	sigmas := make([]float32, steps+1)
	for i := range steps {
		s := 1.0
		if steps > 1 {
			low := 1 / float64(steps)
			s = 1 + float64(i)*((low-1)/float64(steps-1))
			if i == steps-1 {
				s = low
			}
		}
		sigmas[i] = expMu / (expMu + (1/float32(s) - 1))
	}
	return sigmas
}

// empiricalMu is the pipeline's compute_empirical_mu. For 10 and for 200 steps μ is a linear function of the number of
// tokens; for other numbers of steps it is interpolated between the two. Above 4300 tokens it is the function of 200
// steps.
func empiricalMu(imageTokens, steps int) float64 {
	n := float64(imageTokens)
	at200 := 0.00016927*n + 0.45666666
	if imageTokens > 4300 {
		return at200
	}
	at10 := 8.73809524e-05*n + 1.89833333
	slope := (at200 - at10) / 190
	return slope*float64(steps) + at200 - 200*slope
}
