/**
 * What every model card says in the same words, in Spanish. Cards are written in English by
 * `export/templates/model-card.md.j2`; what is missing here stays in English.
 */
export const CARD_IN_SPANISH: Readonly<Record<string, string>> = {
  "Research only. Not for diagnosis.": "Solo para investigación. No apto para diagnóstico.",
  "Intended use": "Uso previsto",
  "For research on reading chest images with a computer, for teaching, and for testing the systems around it.":
    "Para investigar la lectura de imágenes de tórax por ordenador, para enseñar y para probar los sistemas que la rodean.",
  "By people who know what sensitivity, specificity and calibration are, and who have images that somebody else has read.":
    "Por personas que saben qué son sensibilidad, especificidad y calibración, y que tienen imágenes que otra persona ha leído.",
  "Not for diagnosis, triage, screening or any decision about a patient, and not for images of other body parts, views or modalities than those under Facts.":
    "No para diagnóstico, triaje, cribado ni ninguna decisión sobre un paciente, ni para imágenes de otras partes del cuerpo, proyecciones o modalidades que las de Datos básicos.",
  Facts: "Datos básicos",
  Data: "Datos",
  "Licence of the data": "Licencia de los datos",
  Images: "Imágenes",
  Takes: "Admite",
  Input: "Entrada",
  Trained: "Entrenado",
  "Git revision": "Revisión de Git",
  "Calibrated later, at": "Calibrado más tarde, en",
  "Data digest": "Huella de los datos",
  Temperature: "Temperatura",
  Parity: "Paridad",
  "Quality measures": "Medidas de calidad",
  Digest: "Huella",
  Findings: "Hallazgos",
  Finding: "Hallazgo",
  "Operating point": "Punto de operación",
  "Chosen by": "Elegido por",
  'An image that meets none of the operating points, or more than one, is answered with "refer".':
    "Una imagen que no alcanza ningún punto de operación, o más de uno, se responde con «derivar».",
  "An image is also referred where:": "Una imagen también se deriva si:",
  Measured: "Mediciones",
  Measure: "Medida",
  Value: "Valor",
  "95 % interval": "Intervalo del 95 %",
  "Both accuracies above are of the most probable finding.":
    "Las dos exactitudes anteriores son las del hallazgo más probable.",
  "By finding": "Por hallazgo",
  "By source": "Por fuente",
  "By source and finding": "Por fuente y hallazgo",
  Source: "Fuente",
  "Images of": "Imágenes de",
  all: "todos",
  Accuracy: "Exactitud",
  "Balanced accuracy": "Exactitud equilibrada",
  "Accuracy answered": "Exactitud de lo respondido",
  Sensitivity: "Sensibilidad",
  Specificity: "Especificidad",
  Precision: "Precisión",
  "Refer share": "Proporción derivada",
  "Conformal coverage": "Cobertura conforme",
  "Conformal refer share": "Proporción derivada conforme",
  "Conformal error answered": "Error conforme de lo respondido",
  '"Refer share" and "Accuracy answered" of a finding are of the images that truly have it; the others are of that finding against the rest, at its operating point.':
    "«Proporción derivada» y «Exactitud de lo respondido» de un hallazgo son de las imágenes que de verdad lo tienen; las demás son de ese hallazgo frente al resto, en su punto de operación.",
  "Honesty checks": "Pruebas de honestidad",
  "A good figure is no proof that a model looks at the lungs. These ask what else it could have looked at, and how far it carries:":
    "Una buena cifra no prueba que un modelo mire los pulmones. Estas pruebas preguntan qué más pudo haber mirado y hasta dónde llega:",
  "`source_probe`: how well a logistic regression on the network's features names the source of an image, beside what guessing gives. Within one finding it can read nothing else.":
    "`source_probe`: con qué acierto una regresión logística sobre las características de la red nombra la fuente de una imagen, junto a lo que da el azar. Dentro de un hallazgo no puede leer otra cosa.",
  "`border_only`: the model sees the outer tenth of each side alone, where hardly any lung shows. 0.5 is right.":
    "`border_only`: el modelo ve solo la décima parte exterior de cada lado, donde apenas hay pulmón. Lo correcto es 0,5.",
  "`border_pixels`: a logistic regression on those pixels alone: what the border gives away, whether the network uses it or not.":
    "`border_pixels`: una regresión logística solo sobre esos píxeles: lo que delata el borde, lo use la red o no.",
  "`lungs_removed`, `lungs_only`: the lungs, or all but the lungs, are covered with gray.":
    "`lungs_removed`, `lungs_only`: se cubren de gris los pulmones, o todo menos los pulmones.",
  "`left_out`: networks trained without the named source, asked of that source. It is what to expect elsewhere.":
    "`left_out`: redes entrenadas sin la fuente nombrada y probadas en ella. Es lo que cabe esperar en otro lugar.",
  "Prediction sets: chosen on the validation images to hold the true class for 90 % of new ones, class by class. An image that a gate stops, or whose set has not exactly one class, is referred; the error is of the others. A source of fewer than 20 images has no figure.":
    "Conjuntos de predicción: elegidos con las imágenes de validación para contener la clase verdadera del 90 % de las nuevas, clase por clase. Una imagen que detiene un control, o cuyo conjunto no tiene exactamente una clase, se deriva; el error es el de las demás. Una fuente de menos de 20 imágenes no tiene cifra.",
  "`heatmap`: of images that have the finding, the share of the activation inside the lungs, and how often the strongest place is there (`pointing`), on the whole image and with all but the lungs covered; `even_map` is what a map without any preference gets. `alike`: how much of a map stays when the weights of the head, or all, are shuffled; 1 is all of it.":
    "`heatmap`: en las imágenes con el hallazgo, la parte de la activación dentro de los pulmones y con qué frecuencia está allí el punto más fuerte (`pointing`), en la imagen entera y con todo cubierto menos los pulmones; `even_map` es lo que obtiene un mapa sin preferencia. `alike`: cuánto queda de un mapa al barajar los pesos de la cabeza o todos; 1 es todo.",
  "`severity`: the rank correlation of the share of the lungs under the map with experts' scores. Answers carry no severity.":
    "`severity`: la correlación de rangos entre la parte de los pulmones bajo el mapa y las puntuaciones de expertos. Las respuestas no indican gravedad.",
  "`strange`: the share of unfamiliar images of each kind that the out-of-distribution score catches at the manifest's limit.":
    "`strange`: la parte de imágenes extrañas de cada tipo que detecta la puntuación de fuera de distribución en el límite del manifiesto.",
  "`under_<change>_<level>`: the level of each change at which the AUROC is lowest, out of those tried.":
    "`under_<change>_<level>`: el nivel de cada cambio en que el AUROC es más bajo, entre los probados.",
  Evidence: "Evidencia",
  Limits: "Límites",
  "Not a medical device. Nobody has shown that using it helps a patient.":
    "No es un producto sanitario. Nadie ha demostrado que usarlo ayude a un paciente.",
  "Trained and measured on the data named above alone. A model of this kind loses accuracy on another hospital's images, another age group, another scanner; measure it on your own before you read anything into it.":
    "Entrenado y medido solo con los datos nombrados arriba. Un modelo así pierde exactitud con imágenes de otro hospital, otro grupo de edad u otro equipo; mídalo con las suyas antes de sacar conclusiones.",
  'Says nothing of findings that it was not trained on. "Normal" means "none of its findings".':
    "No dice nada de hallazgos con los que no se entrenó. «Normal» significa «ninguno de sus hallazgos».",
  "Answers on anything that it is given, also on a blank or an unrelated picture, and confidently.":
    "Responde a todo lo que se le da, también a una imagen en blanco o ajena, y con seguridad.",
  "The probability is calibrated on validation images, whose share of disease is not yours.":
    "La probabilidad está calibrada con imágenes de validación, cuya proporción de enfermedad no es la suya.",
  "It draws something on whatever it is given, also on a picture without lungs.":
    "Dibuja algo sobre cualquier cosa que se le da, también sobre una imagen sin pulmones.",
  Ethics: "Ética",
  "The images are of real people. They come from the public data sets under Facts, whose authors answer for consent and approval; no image is part of this model's files.":
    "Las imágenes son de personas reales. Proceden de los conjuntos de datos públicos de Datos básicos, cuyos autores responden del consentimiento y la aprobación; ninguna imagen forma parte de los archivos de este modelo.",
  "The figures say nothing of people who are not in those data sets. Whether it does worse for one age, sex or origin was not measured, so assume that it does.":
    "Las cifras no dicen nada de quienes no están en esos conjuntos de datos. No se midió si funciona peor para una edad, un sexo o un origen; suponga que sí.",
  'A wrong "normal" can delay a treatment, a wrong finding can start a needless one. A person reads every image.':
    "Un «normal» erróneo puede retrasar un tratamiento, un hallazgo erróneo puede iniciar uno innecesario. Una persona lee cada imagen.",
  "Reporting guidelines": "Guías de publicación",
  "Where this card answers the items of CLAIM 2024 and TRIPOD+AI, and what was not done.":
    "Dónde responde esta ficha a los puntos de CLAIM 2024 y TRIPOD+AI, y qué no se hizo.",
  Item: "Punto",
  Answer: "Respuesta",
  "What kind of method": "Tipo de método",
  "Title and summary.": "Título y resumen.",
  "Background, intended use, users": "Antecedentes, uso previsto, usuarios",
  "Under Intended use.": "En Uso previsto.",
  Aim: "Objetivo",
  "A model for research: under Intended use.": "Un modelo para investigación: en Uso previsto.",
  "Prospective or retrospective": "Prospectivo o retrospectivo",
  "Retrospective, on public data sets.": "Retrospectivo, con conjuntos de datos públicos.",
  "Sources of the data": "Fuentes de los datos",
  "Under Facts: data and licence.": "En Datos básicos: datos y licencia.",
  "Who was included": "Quién se incluyó",
  "Not known here: see the publications of the data sets.":
    "No se sabe aquí: véanse las publicaciones de los conjuntos de datos.",
  "Preparation of the images": "Preparación de las imágenes",
  "Under Facts: input. The same in service.": "En Datos básicos: entrada. La misma en servicio.",
  "How many images": "Cuántas imágenes",
  "De-identification, ethical approval": "Anonimización, aprobación ética",
  "Missing and unreadable data": "Datos ausentes o ilegibles",
  "Unreadable images are left out.": "Las imágenes ilegibles se omiten.",
  "How the images were taken": "Cómo se tomaron las imágenes",
  "Reference standard, its readers and how they agree":
    "Patrón de referencia, sus lectores y su acuerdo",
  "The labels of the data sets, not read again. Not known here: see the publications of the data sets.":
    "Las etiquetas de los conjuntos de datos, sin releer. No se sabe aquí: véanse sus publicaciones.",
  "How the images were split": "Cómo se dividieron las imágenes",
  "By patient and by group of near-duplicates, never by image.":
    "Por paciente y por grupo de casi duplicados, nunca por imagen.",
  "Sample size": "Tamaño de la muestra",
  "No calculation. Not done.": "Sin cálculo. No se hizo.",
  "Network, software, initial weights, training": "Red, programas, pesos iniciales, entrenamiento",
  "Under Facts: the recipe at that git revision has every value.":
    "En Datos básicos: la receta de esa revisión de Git tiene todos los valores.",
  "Choice of the final model": "Elección del modelo final",
  "Images are answered only where they are like a source within which the model was shown to tell the finding from others, and as that source's own last layer has it. Held-out images of each:":
    "Solo se responde a las imágenes que se parecen a una fuente en la que se demostró que el modelo distingue el hallazgo de otros, y según la última capa propia de esa fuente. Imágenes reservadas de cada una:",
  "By the validation split; see Limits.": "Con la parte de validación; véase Límites.",
  "Imbalanced classes": "Clases desequilibradas",
  "By the recipe's sampling; calibrated after.":
    "Por el muestreo de la receta; calibradas después.",
  "Figures and their uncertainty": "Cifras y su incertidumbre",
  "Under Measured.": "En Mediciones.",
  "Robustness, sensitivity": "Robustez, sensibilidad",
  "Measured, under Honesty checks.": "Medida, en Pruebas de honestidad.",
  "Not done.": "No se hizo.",
  Explanation: "Explicación",
  "A class activation map with each answer. Whether it helps a reader: not done.":
    "Un mapa de activación de clase con cada respuesta. Si ayuda a un lector: no se estudió.",
  "Evaluation on internal data": "Evaluación con datos internos",
  "Evaluation on external data": "Evaluación con datos externos",
  "Under Honesty checks: sources left out of the training. Prospectively: not done.":
    "En Pruebas de honestidad: fuentes excluidas del entrenamiento. Prospectiva: no se hizo.",
  Registration: "Registro",
  "Demography, fairness": "Demografía, equidad",
  "Measured, under Measured: by source. Other groups (age, sex, origin): not done.":
    "Medida, en Mediciones: por fuente. Otros grupos (edad, sexo, origen): no se hizo.",
  "Not done. One source only; age, sex and origin are not in the table of images.":
    "No se hizo. Una sola fuente; edad, sexo y origen no están en la tabla de imágenes.",
  Performance: "Rendimiento",
  "Under Findings and Measured.": "En Hallazgos y Mediciones.",
  Failures: "Fallos",
  "Shown in the evaluation's report, which stays with the data. Analysed by a reader: not done.":
    "Mostrados en el informe de la evaluación, que queda con los datos. Analizados por un lector: no se hizo.",
  "Under Limits.": "En Límites.",
  Protocol: "Protocolo",
  "None was published before the training.": "No se publicó ninguno antes del entrenamiento.",
  Availability: "Disponibilidad",
  "Model and code are here; the images are not, see their licence.":
    "El modelo y el código están aquí; las imágenes no, véase su licencia.",
  "Funding, interests": "Financiación, intereses",
  "Not stated.": "No consta.",
  "Patients' part in the study": "Participación de los pacientes en el estudio",
  Updating: "Actualización",
  "A new version is a new folder with its card.":
    "Una versión nueva es una carpeta nueva con su ficha.",
};
